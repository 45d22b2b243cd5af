"""Past one machine: what it will cost, and the engines that do it.

- `capacity`: how much memory, disk, time and how many machines a collection takes
- `extraction`: vectors of many files by a Ray Data job (pyarrow)
- `ray_cluster`: Ray, started for a while or found (ray)
- `shards`: one index in several parts: filled, merged, on disk, replaced
- `database`: the same collection in Milvus (pymilvus)
- `fan_out`: waiting for many machines at once, simulated
"""

"""The page of `tools.benchmark.extraction`: tables, targets, how to read them."""

from statistics import median
from typing import Any

LOOP, DATASET, DEFAULT = "predict, one by one", "predict on a dataset", "Lookalike"
BFLOAT16, INT8 = "Lookalike, bfloat16", "Lookalike, int8"
PEAK_SIDE = 2048  # of the matrices whose product stands for the machine's peak


def page(report: dict[str, Any]) -> list[str]:
    """The page's lines."""
    machine = report["machine"]
    numbers = {"Python": machine["versions"]["Python"]} | report["versions"]
    lines = [
        "# From picture files to vectors, side by side",
        "",
        "Written by `python -m tools.benchmark.extraction`; do not edit.",
        "",
        f"{report['date']}, {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gb']} GB of memory, {machine['system']}. "
        + ", ".join(f"{name} {number}" for name, number in numbers.items())
        + f". Processes that wanted to run before it began: {report['busy']:.1f}.",
        *_targets(report["results"]),
    ]
    for result in report["results"]:
        lines += _table(result)
    if report.get("startup"):
        seconds = report["startup"]
        lines += [
            "",
            "## Warm start",
            "",
            "A new process loads a saved search of the gallery and answers a query "
            f"whose vector is cached, without TensorFlow, in {median(seconds):.2f} s "
            f"({min(seconds):.2f}–{max(seconds):.2f}), Python's own start included.",
        ]
    if report.get("memory"):
        lines += ["", "## Memory", "", "Peak above the loaded model:", ""]
        for row in report["memory"]:
            lines.append(
                f"- {row['title']}: {row['rise']:,.0f} MB "
                f"({row['pictures']:,} pictures in {row['seconds']:.0f} s)"
            )
    return [*lines, "", *READING]


READING = [
    "## How to read this",
    "",
    "- **pictures/s**: from file to vector, reading and decoding included; the median "
    "of the rounds. **× loop** and **× dataset** are taken inside each round, with the "
    "lowest and the highest.",
    f"- **{LOOP}** is the usual tutorial: Keras loads a picture, `model.predict` sees "
    f"it alone. **{DATASET}**: tf.data decodes and batches, `model.predict` sees it "
    f"all. **{DEFAULT}** is `load_embedder()` and `embed_files` as they come: the "
    "Keras model in float32. The rows below it are `load_fast_embedder`: float32 by "
    "TensorFlow or OpenVINO with the batch norms folded, bfloat16, int8.",
    "- **least cosine, top 10**: against plain Keras in float32 on the pixels that "
    "ours decode; top 10 is the share of the ten nearest that stay. The two peers "
    "that decode otherwise (the first two rows) see other pixels.",
    "- **mAP**: each picture is asked for the others of its label.",
    "- **network**: the network alone, as a share of what a matrix product of "
    f"{PEAK_SIDE} × {PEAK_SIDE} reaches in the same library and precision; there is "
    "none of 8-bit numbers to compare int8 with. Two operations a multiply-add.",
    "- PyTorch and ONNX Runtime get the same threads to decode with as ours.",
]


def _targets(results: list[dict[str, Any]]) -> list[str]:
    """Say which targets were met: the default's everywhere, others on the first."""
    claims: list[tuple[str, list[float], float]] = []
    for result in results:
        rows = {row["name"]: row for row in result["rows"]}
        where = f"{result['title']}, input {result['size']}"
        claim = f"default no slower than `predict` on a dataset, {where}"
        claims.append((claim, ratios(rows[DEFAULT], rows[DATASET]), 1))
    claims += _fast_claims({row["name"]: row for row in results[0]["rows"]})
    lines = ["", f"## Targets, the fast ways' at input {results[0]['size']}", ""]
    for claim, values, least in claims:
        verdict = "**met**" if median(values) >= least else "**missed**"
        lines.append(f"- {claim}: {median(values):.3g}, at least {least}: {verdict}")
    return lines


def _fast_claims(rows: dict[str, dict]) -> list[tuple[str, list[float], float]]:
    """What is promised of bfloat16 and int8, and what was measured."""
    claims: list[tuple[str, list[float], float]] = []
    if fast := rows.get(BFLOAT16):
        others = [row for name, row in rows.items() if "Lookalike" not in name]
        fastest = max(others, key=lambda row: median(row["speeds"]))
        claims += [
            ("bfloat16: 4 times the loop", ratios(fast, rows[LOOP]), 4),
            ("bfloat16: twice `predict` on a dataset", ratios(fast, rows[DATASET]), 2),
            ("bfloat16: top 10 agreement", [fast["top10"]], 0.99),
            (f"bfloat16: no slower than {fastest['name']}", ratios(fast, fastest), 1),
        ]
    if int8 := rows.get(INT8):
        change = abs(int8["map"] - rows["batches, one thread"]["map"])
        claims += [
            ("int8: 7 times the loop", ratios(int8, rows[LOOP]), 7),
            ("int8: top 10 agreement", [int8["top10"]], 0.95),
            ("int8: mAP within 0.01", [1 - change], 0.99),
        ]
    for name, row in rows.items():
        if "product" in row:
            claims.append((f"{name}: network", [row["network"] / row["product"]], 0.6))
    return claims


def ratios(row: dict[str, Any], base: dict[str, Any]) -> list[float]:
    """How often faster, round by round."""
    return [a / b for a, b in zip(row["speeds"], base["speeds"], strict=True)]


def _table(result: dict[str, Any]) -> list[str]:
    rows = {row["name"]: row for row in result["rows"]}
    lines = [
        "",
        f"## {result['title'].capitalize()}, input {result['size']} × {result['size']}",
        "",
        f"{result['n']} pictures, {len(next(iter(rows.values()))['speeds'])} rounds.",
        "",
        "| | pictures/s | × loop | × dataset | least cosine | top 10 | mAP | network |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, row in rows.items():
        cells = [name, f"{median(row['speeds']):.1f}"]
        for base in (LOOP, DATASET):
            times = ratios(row, rows[base])
            cells.append(f"{median(times):.2f} ({min(times):.2f}–{max(times):.2f})")
        cells += [
            f"{row['cosine']:.5f}",
            f"{row['top10']:.3f}",
            f"{row.get('map', float('nan')):.3f}",
        ]
        cells.append(_network(row))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _network(row: dict[str, Any]) -> str:
    if "network" not in row:
        return ""
    if "product" not in row:
        return f"{row['network']:.0f} GOP/s"
    share = row["network"] / row["product"]
    return f"{row['network']:.0f} of {row['product']:.0f} GFLOP/s, {share:.0%}"

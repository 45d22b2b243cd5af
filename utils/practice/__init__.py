"""Helpers to practise on: a larger collection, and advice on which index to take.

- `enlarge` (NumPy): many vectors drawn from a few real ones
- `index_choice`: FAISS's guidelines as a function
"""

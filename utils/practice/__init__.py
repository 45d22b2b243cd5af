"""Helpers to practise with: more vectors, diagrams, advice on which index to take.

- `enlarge` (NumPy): many vectors drawn from a few real ones
- `diagrams`: what a lesson is about to build, drawn before it is built
- `index_choice`: FAISS's guidelines as a function
"""

"""Typical wrong answers to the exercises of lesson 04."""

WRONG_ANSWERS = {
    1: {
        "faiss.IndexFlatL2(2048)": "holds 0 vectors",
        "faiss.IndexFlatL2": "still has to be called",
        "faiss.IndexFlatL2(100)": "dimension",
        "filled(faiss.IndexFlatIP(2048), embeddings[:100])": "inner product",
        "filled(faiss.IndexFlatL2(2048), embeddings)": "not 100",
        "filled(faiss.IndexFlatL2(2048), embeddings[100:200])": "not the first",
        "filled(faiss.IndexHNSWFlat(2048, 8), embeddings[:100])": "not flat",
        "embeddings[:100]": "floats of shape (100, 2048)",
    },
    2: {
        "search.search(query_paths[0], k=5)": "list of other objects",
        "search.search(query_paths[0], k=1)[0]": "too",
        "search.search(query_paths[0], k=len(search))[-1]": "not the best one",
        "'backpack'": "Received a string",
    },
    3: {
        "np.arange(len(embeddings))": "own neighbour",
        "index.search(embeddings, 2)[0][:, 1] >= threshold": "truth values",
        "np.flatnonzero(index.search(embeddings, 2)[0][:, 1] >= 0.8)": "no such",
        "np.flatnonzero(index.search(embeddings, 2)[0][:, 1] >= 0.9)": "others",
        "np.flatnonzero(index.search(embeddings, 2)[0][:, 1] >= threshold)[::-1]": (
            "not sorted"
        ),
        "index.search(embeddings, 2)[0][:, 1]": "floats",
    },
}

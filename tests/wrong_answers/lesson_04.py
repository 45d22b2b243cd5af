"""Typical wrong answers to the exercises of lesson 04."""

WRONG_ANSWERS = {
    1: {
        "faiss.IndexFlatL2(2048)": "holds 0 vectors",
        "faiss.IndexFlatL2": "still has to be called",
        "faiss.IndexFlatL2(100)": "dimension",
        "filled(faiss.IndexFlatIP(2048), embeddings[-100:])": "inner product",
        "filled(faiss.IndexFlatL2(2048), embeddings)": "not 100",
        "filled(faiss.IndexFlatL2(2048), embeddings[:100])": "not the last",
        "filled(faiss.IndexFlatL2(2048), embeddings[:-101:-1])": "not the last",
        "filled(faiss.IndexHNSWFlat(2048, 8), embeddings[-100:])": "not flat",
        "embeddings[-100:]": "floats of shape (100, 2048)",
    },
    2: {
        "index.search(queries, 1)[1][:, 0]": "query's own label",
        "index.search(queries, 5)[1]": "whole numbers of shape (182, 5)",
        "index.search(queries, index.ntotal)[1][:, -1]": "own label",
        "[list(labels != label).index(True) for label in query_labels]": "nearer",
        "labels[index.search(queries, 1)[1][:, 0]] != query_labels": "truth values",
    },
    3: {
        "np.arange(len(embeddings))": "own neighbour",
        "index.search(embeddings, 2)[1][:, 1]": "own neighbour",
        "np.unique(index.search(embeddings, 2)[1][:, 1])": "prefers another",
        "index.search(embeddings, 2)[0][:, 1] > 0.9": "truth values",
        "(lambda n: [i for i in range(910) if i < n[i] and n[n[i]] == i])"
        "(index.search(embeddings, 2)[1][:, 1])": "both of each pair",
        "index.search(embeddings, 2)[0][:, 1]": "floats",
    },
}

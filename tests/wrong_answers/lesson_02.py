"""Typical wrong answers to the exercises of lesson 02."""

WRONG_ANSWERS = {
    1: {
        "(embeddings == 0).sum()": "count",
        "(embeddings > 0).mean()": "the others",
        "(embeddings < 0.01).mean()": "exactly 0",
        "(embeddings == 0).mean(axis=0)": "2,048 floats",
    },
    2: {
        "[(embeddings @ embeddings[0])[m].mean() for m in ((labels == labels[0]) & "
        "(instances == instances[0]), labels == labels[0], labels != labels[0])]": (
            "with itself"
        ),
        "[(embeddings @ embeddings[0])[m].mean() for m in ((labels == labels[0]) & "
        "(instances == instances[0]) & (np.arange(len(rows)) > 0), "
        "labels == labels[0], labels != labels[0])]": "pictures of the same thing",
        "(0.9, 0.5, 0.2)": "first number",
        "[(embeddings @ embeddings[0])[m].mean() for m in ((labels == labels[0]) & "
        "(instances == instances[0]) & (np.arange(len(rows)) > 0), "
        "labels == labels[0], instances != instances[0])]": "third number",
        "(0.9, 0.5)": "Received 2 floats",
        "(0.9, 0.5, float('nan'))": "NaN",
    },
    3: {
        "labels[split == 'query']": "true labels",
        "names[np.argmax(queries @ np.stack([gallery[gallery_labels == n]"
        ".mean(axis=0) for n in names]).T, axis=1)]": "length 1",
        "gallery_labels[np.argmax(queries @ gallery.T, axis=1)]": "not those of",
        "np.zeros(len(queries), dtype=int)": "whole numbers",
        "names": "Received 26 strings",
    },
}

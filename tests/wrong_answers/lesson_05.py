"""Typical wrong answers to the exercises of lesson 05."""

WRONG_ANSWERS = {
    1: {
        "search.labels": "innermost",
        "[path.parent.name for path in search.paths]": "another folder",
        "find_photos(folder, level=1)": "type Collection",
        "['Fruit', 'Home', 'Toys']": "Received 3 strings",
        "[p.relative_to(folder).parts[0] for p in search.paths]": "names of files",
    },
    2: {
        "np.argsort(find_nearest(vectors)[1])[-5:]": "nearer neighbour",
        "np.sort(find_nearest(vectors)[1])[:5]": "floats",
        "find_nearest(vectors)[0][:5]": "named twice",
        "np.argsort(find_nearest(vectors)[1])": "Expected 5 whole numbers",
    },
    3: {
        "np.arange(len(vectors))": "too similar",
        "np.flatnonzero(find_nearest(vectors)[1] < threshold)": "resemble no kept one",
        "[0]": "resemble no kept one",
        "find_nearest(vectors)[1] < threshold": "truth values",
        "[5, 3, 1]": "not sorted",
    },
}

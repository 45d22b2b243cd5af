"""Typical wrong answers to the exercises of lesson 15."""

WRONG_ANSWERS = {
    1: {
        "list(range(10))": "must not come back",
        "[0, 1, 2, 4, 5, 6, 7, 8, 9, 10]": "must not come back",
        "[0, 1, 2, 4, 5, 6, 7, 8, 11, 10]": "smallest first",
        "[1, 2, 4, 5, 6, 7, 8, 10, 11, 12]": "Not these",
        "[0, 1, 2, 4, 5, 6, 7, 8]": "Received 8 whole numbers",
    },
    2: {
        "1": "the recall is only",
        "16": "smaller nprobe",
        "17": "outside these limits",
        "recall_with(4)": "Received a float",
    },
    3: {
        "[0, 1]": "Not these two",
        "list(search.items)": "names 40",
        "[item.path for item in search.check()]": "list of other objects",
        "sorted((search.id_of(item.path) for item in search.check()), "
        "reverse=True)": "not sorted",
        "[1000, 1001]": "keys of search.items",
    },
}

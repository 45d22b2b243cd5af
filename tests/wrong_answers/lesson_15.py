"""Typical wrong answers to the exercises of lesson 15."""

WRONG_ANSWERS = {
    1: {
        "np.sum((cell_sizes / cell_sizes.sum()) ** 2)": "Multiply by",
        "len(cell_sizes) * np.sum(cell_sizes / cell_sizes.sum())": "Square each",
        "len(cell_sizes) * np.sum(cell_sizes**2)": "shares of all",
        "cell_sizes.std() / cell_sizes.mean()": "never below 1",
        "cell_sizes.max() / cell_sizes.mean()": "Divide by all",
        "cell_sizes / cell_sizes.sum()": "12 floats",
    },
    2: {
        "[0, 1]": "Not these two",
        "list(search.items)": "names 40",
        "[item.path for item in search.check()]": "list of other objects",
        "sorted((search.id_of(item.path) for item in search.check()), "
        "reverse=True)": "not sorted",
        "[1000, 1001]": "keys of search.items",
    },
}

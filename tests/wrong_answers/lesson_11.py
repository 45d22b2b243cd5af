"""Typical wrong answers to the exercises of lesson 11."""

MIXED = "score(0.5 * in_grey + 0.5 * in_colour)"

WRONG_ANSWERS = {
    1: {
        "np.quantile(colour[draws].mean(axis=1), [0.025, 0.975])": "of the mean",
        "np.quantile(np.median(colour[draws], axis=1), [0.975, 0.025])": "lower end",
        "np.quantile(colour, [0.025, 0.975])": "Far too wide",
        "np.quantile(np.median(colour[draws], axis=1), [0.25, 0.75])": "Too narrow",
        "np.median(colour[draws], axis=1)": "Received 10,000 floats",
    },
    2: {
        "int((1.96 * difference.std(ddof=1) / 0.005) ** 2)": "Rounded down",
        "int(np.ceil((1.96 * difference.std(ddof=1) / 0.01) ** 2))": "± 0.01",
        "int(np.ceil((difference.std(ddof=1) / 0.005) ** 2))": "one standard error",
        "int(np.ceil((1.96 * colour.std(ddof=1) / 0.005) ** 2))": "mean of one search",
        "n": "With so many",
        "(1.96 * difference.std(ddof=1) / 0.005) ** 2": "Received a float",
    },
    3: {
        f"metrics.compare_paired({MIXED}, colour)": "did not choose",
        f"metrics.compare_paired({MIXED}[tuning][:-1], colour[tuning][:-1])": (
            "did not choose"
        ),
        "metrics.compare_paired(colour[~tuning], colour[~tuning])": "tuning half",
        "np.mean(grey - colour)": "Received a float",
    },
}

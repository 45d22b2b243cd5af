"""Typical wrong answers to the exercises of lesson 09."""

WRONG_ANSWERS = {
    1: {
        "(10**9 - 4_352 * 8_192) // 32": "beside each code",
        "10**9 // 40": "before the first vector",
        "(10**9 - 4_096 * 8_192) // 40": "needs its codebooks",
        "(10**9 - 256 * 8_192) // 40": "cells have centroids",
        "10**9 // 32": "Subtract what is paid once",
        "(10**9 - 4_352 * 8_192) / 40": "Received a float",
    },
    2: {
        "ann_recall(pq16.search(queries, k)[1], true_ids).mean()": "Sort all 100 anew",
        "ann_recall(pq16.search(queries, 100)[1], true_ids).mean()": "among all 100",
        "ann_recall(sq4.search(queries, k)[1], true_ids).mean()": "SQ4 on its own",
        "0.5": "the largest product first",
        "ann_recall(pq16.search(queries, k)[1], true_ids)": "Received 182 floats",
    },
    3: {
        "true_ids": "No code of 16 bytes",
        "pq16.search(queries, k)[1]": "Hardly better",
        "np.arange(1820).reshape(182, 10)": "hardly neighbours",
        "true_ids[:5]": "Received whole numbers of shape (5, 10)",
    },
}

"""Membership attacks by scikit-learn and numpy, in double, for tools/golden.py: a model's logits in, features, the
calls of an SVC and the coefficients of a logistic regression out. Formulas: eval/features.h.
"""
import numpy as np

SEED, CLASSES = 4, 10
RETAIN, TEST, FORGET = 800, 800, 400  # samples, one after the other in every array


def drawn():
    """Logits and labels as of a classifier at 99.9, 94 and 97 percent: confidences lie clumped near 1."""
    generator = np.random.default_rng(SEED)
    counts = np.array([RETAIN, TEST, FORGET])
    labels = generator.integers(0, CLASSES, counts.sum())
    logits = generator.normal(0, 1.2, (len(labels), CLASSES))
    wrong = generator.random(len(labels)) < np.repeat([0.001, 0.06, 0.03], counts)
    shown = np.where(wrong, (labels + generator.integers(1, CLASSES, len(labels))) % CLASSES, labels)
    strength = np.repeat([11.0, 9.0, 9.5], counts) + generator.normal(0, np.repeat([1.5, 3.0, 2.5], counts))
    logits[np.arange(len(labels)), shown] += np.where(wrong, 0.5 * strength, strength)
    return logits.astype(np.float32), labels


def modified_entropy(p, labels):
    rows = np.arange(len(p))
    weights, logs = p.copy(), np.log(np.maximum(1 - p, 1e-30))
    weights[rows, labels] = 1 - p[rows, labels]
    logs[rows, labels] = np.log(np.maximum(p[rows, labels], 1e-30))
    return -(weights * logs).sum(1)


def modified_entropy_ufv(p, labels):
    rows = np.arange(len(p))
    weights = p.copy()
    weights[rows, labels] = 1 - p[rows, labels]
    return -(weights * np.log(np.maximum(weights, 1e-300))).sum(1)


def modified_entropy_optml(p, labels):
    """As SVC_MIA indexes: an assignment to [:, labels] changes whole columns."""
    logs = np.log(np.where(p > 0, p, 1e-30))
    weights, modified_logs = p.copy(), logs.copy()
    weights[:, labels] = (1 - p)[:, labels]
    modified_logs[:, labels] = logs[:, labels]
    return -(weights * modified_logs).sum(1)


def features(logits, labels):
    z = logits.astype(np.float64)
    z -= z.max(1, keepdims=True)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    return {
        "correctness": (logits.argmax(1) == labels).astype(np.float64),
        "confidence": p[np.arange(len(p)), labels],
        "entropy": -(p * np.log(p)).sum(1),
        "modified_entropy": modified_entropy(p, labels),
        "modified_entropy_ufv": modified_entropy_ufv(p, labels),
        "modified_entropy_optml": modified_entropy_optml(p, labels),
        "probabilities": p,
    }


def svc_decisions(x):
    from sklearn.svm import SVC  # here, so that golden.py --live needs no scikit-learn

    x = x.reshape(len(x), -1)
    fitted = SVC(C=3, gamma="auto", kernel="rbf").fit(x[:RETAIN + TEST], np.repeat([1, 0], [RETAIN, TEST]))
    decisions = fitted.decision_function(x)
    assert np.array_equal(decisions >= 0, fitted.predict(x) == 1)
    return decisions


def logistic(losses, members):
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(solver="newton-cg", tol=1e-12, max_iter=1000).fit(losses.reshape(-1, 1), members)
    return np.array([fitted.coef_[0, 0], fitted.intercept_[0]])


def golden_attacks():
    logits, labels = drawn()
    named = features(logits, labels)
    out = {"logits": logits, "labels": labels.astype(np.float32)}
    for name, x in named.items():
        if name != "probabilities":
            out[name] = x
        out["svc/" + name] = svc_decisions(x)
    losses = -np.log(named["confidence"])
    out["logistic"] = logistic(losses[:RETAIN + TEST], np.repeat([1, 0], [RETAIN, TEST]))  # slope, intercept
    return out

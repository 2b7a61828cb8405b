"""For each task: the meaning of a row's logits in words, and Python and C++ code that prints the answer."""

from nf_edge.model.config import Task

ANSWERS: dict[Task, str] = {
    "classification": "the label of the largest logit; softmax of the logits gives the labels' probabilities",
    "multi-label classification": "the labels whose logits are above 0; a sigmoid of each logit gives its "
    "label's probability",
    "regression": "the logits are the predicted numbers",
}
PRINT_PYTHON: dict[Task, str] = {
    "classification": "int(logits[0].argmax())",
    "multi-label classification": "*(label for label, logit in enumerate(logits[0].tolist()) if logit > 0)",
    "regression": "*logits[0].tolist()",
    "language modelling": "int(logits[0, -1].argmax())",
}
LARGEST = '  std::printf("%ld\\n", static_cast<long>(std::max_element(last, last + classes) - last));'
PRINT_CPP: dict[Task, str] = {
    "classification": LARGEST,
    "multi-label classification": (
        "  for (long label = 0; label < classes; ++label) {\n"
        '    if (last[label] > 0) std::printf("%ld\\n", label);\n'
        "  }"
    ),
    "regression": (
        '  for (long i = 0; i < classes; ++i) {\n    std::printf("%g\\n", static_cast<double>(last[i]));\n  }'
    ),
    "language modelling": LARGEST,
}

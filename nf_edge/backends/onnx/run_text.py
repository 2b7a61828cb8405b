"""The part of `RUN.md` about running an `.onnx` on the CPU; names in braces are placeholders."""

from nf_edge.backends.run_text import PYTHON

PYTHON_ROWS = """\
```python
import os

import numpy as np

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import: by default it sends usage data
import onnxruntime

session = onnxruntime.InferenceSession("{file}", providers=["CPUExecutionProvider"])
input_ids = np.array([[{ids}]])
attention_mask = np.ones_like(input_ids)
(logits,) = session.run(["logits"], {{"input_ids": input_ids, "attention_mask": attention_mask}})
print({answer})
```

In C++, Java, Swift and C# the names, dtypes and shapes are the same.
{free_heap}"""

PYTHON_CACHED = """\
```python
import os

import numpy as np

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import: by default it sends usage data
import onnxruntime

session = onnxruntime.InferenceSession("{file}", providers=["CPUExecutionProvider"])
names = [entry.name for entry in session.get_inputs() if entry.name.startswith("past_key_values.")]
shapes = {{entry.name: entry.shape for entry in session.get_inputs()}}
past = {{name: np.zeros((1, shapes[name][1], 0, shapes[name][3]), np.{cache_dtype}) for name in names}}


def feed(tokens, start):
    inputs = {{
        "input_ids": np.array([tokens]),
        "attention_mask": np.ones((1, start + len(tokens)), np.int64),
        "position_ids": np.arange(start, start + len(tokens))[None],
    }}
    logits, *present = session.run(None, inputs | past)
    past.update(zip(names, present))
    return int(logits[0, 0].argmax())


input_ids = [{ids}]
token = feed(input_ids, 0)
for position in range(len(input_ids), len(input_ids) + {steps}):
    print(token)
{stop_python}    token = feed([token], position)
```

{generator}In C++, Java, Swift and C# the names, dtypes and shapes are the same.
{free_heap}"""


def run_text(cached: bool) -> str:
    """The instructions to run a file from Python; other languages use the same names and dtypes.

    Args:
        cached: whether the model has a key/value cache.
    """
    return PYTHON + (PYTHON_CACHED if cached else PYTHON_ROWS)

"""The part of `RUN.md` about running a context binary; names in braces are placeholders."""

from nf_edge.backends.run_text import PYTHON

ON_HTP = """\
The model is one context binary, which QNN compiled for the HTP of a Snapdragon {soc}. It needs a device with
this SoC, and QNN's plug-in for ONNX Runtime (in Python, `onnxruntime-qnn`). The plug-in must have the version
that compiled the model, or a later one. On x86-64 Linux the plug-in contains a simulator. There, the code
below and `nf-edge check` use the simulator. A device only needs `{file}`. `model.qdq.onnx` is the quantized
model before compilation; the plug-in can compile it for other SoCs.

"""

# This code works on a phone and in the simulator.
OPEN = """\
import os

import numpy as np

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import: by default it sends usage data
import onnxruntime
import onnxruntime_qnn

onnxruntime.register_execution_provider_library("QNNExecutionProvider", onnxruntime_qnn.get_library_path())
devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == "QNNExecutionProvider"]
options = onnxruntime.SessionOptions()
options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
options.add_provider_for_devices(devices[:1], {{"backend_path": onnxruntime_qnn.get_qnn_htp_path()}})
session = onnxruntime.InferenceSession("{file}", options)
"""

PYTHON_ROWS = f"""\
```python
{OPEN}\
input_ids = np.array([[{{ids}}]])
attention_mask = np.ones_like(input_ids)
(logits,) = session.run(["logits"], {{{{"input_ids": input_ids, "attention_mask": attention_mask}}}})
print({{answer}})
```

In C++, Java and C# the names, dtypes and shapes are the same.
"""

PYTHON_CACHED = f"""\
```python
{OPEN}\
shapes = {{{{entry.name: entry.shape for entry in session.get_inputs()}}}}
names = [name for name in shapes if name.startswith("past_key_values.")]
past = {{{{name: np.zeros(shapes[name], np.{{cache_dtype}}) for name in names}}}}
chunk, positions = shapes["input_ids"][1], shapes[names[0]][2]


def feed(tokens, start):
    count = len(tokens)  # at most a chunk; longer prompts go in chunk by chunk
    inputs = {{{{
        "input_ids": np.array([[*tokens, *[0] * (chunk - count)]]),
        "attention_mask": (np.arange(positions) < start).astype(np.int64)[None],
        "position_ids": np.minimum(np.arange(start, start + chunk), positions - 1)[None],
    }}}}
    logits, *present = session.run(None, inputs | past)
    for name, new in zip(names, present):
        past[name][:, :, start : start + count] = new[:, :, :count]
    return int(logits[0, count - 1].argmax())


input_ids = [{{ids}}]
token = feed(input_ids, 0)
for position in range(len(input_ids), len(input_ids) + {{steps}}):
    print(token)
{{stop_python}}    token = feed([token], position)
```

In C++, Java and C# the names, dtypes and shapes are the same.
"""


def run_text(cached: bool) -> str:
    """The instructions to run a file from Python; other languages use the same names and dtypes.

    Args:
        cached: whether the model has a key/value cache.
    """
    return ON_HTP + PYTHON + (PYTHON_CACHED if cached else PYTHON_ROWS)

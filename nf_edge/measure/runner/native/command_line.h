#pragma once

#include <string>

namespace nf {

inline constexpr char kUsage[] =
    "MODEL [--threads N] [--times] [--operators LIBRARY] [--trace FILE] [--cold] [--trim] [--rows N] < requests";

struct CommandLine {
  std::string model; // absolute, symbolic links resolved
  int threads;
  bool times_only;       // whether to report times without logits
  std::string operators; // a library of operators that the model calls; "" is none
  std::string trace;     // a file for the outputs of every instruction (ExecuTorch only); "" is none
  bool cold;             // whether to read the model from disk instead of from the page cache
  bool trim;             // whether to return free heap to the system after loading
  int rows;              // rows of each request (ONNX Runtime only)
};

// Parses the options in `kUsage`. The default of --threads is the number of CPUs that this process may use. Throws
// Usage, or BadInput if MODEL cannot be read.
CommandLine parse_command_line(int argc, char** argv);

} // namespace nf

#pragma once

#include <string>

namespace nf {

struct CommandLine {
  std::string model; // absolute, symbolic links resolved
  int threads;
  bool times_only;       // whether to report times without logits
  std::string operators; // a library of operators that the model calls; "" is none
  std::string trace;     // a file for the outputs of every instruction (ExecuTorch only); "" is none
};

// Parses `MODEL [--threads N] [--times] [--operators LIBRARY] [--trace FILE]`. The default of --threads is the number
// of CPUs that this process may use. Throws Usage, or BadInput if MODEL cannot be read.
CommandLine parse_command_line(int argc, char** argv);

} // namespace nf

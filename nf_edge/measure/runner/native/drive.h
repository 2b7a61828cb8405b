#pragma once

#include <memory>

#include "command_line.h"
#include "model.h"
#include "report.h"

namespace nf {

// Starts a runtime, reports "start", loads the model, and reports each stage of loading.
using OpenModel = std::unique_ptr<Model> (*)(const CommandLine& command, Report& report);

// The complete main(): runs the requests from stdin on the model, and returns the exit code.
int drive(const char* program, int argc, char** argv, OpenModel open);

} // namespace nf

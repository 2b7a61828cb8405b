#pragma once

#include <memory>

#include "command_line.h"
#include "model.h"
#include "report.h"

namespace nf {

// Starts a runtime, reports "start", loads the model, and reports each stage of that.
using OpenModel = std::unique_ptr<Model> (*)(const CommandLine& command, Report& report);

// The whole of main(): answers the requests on stdin with the model, and returns the exit code.
int drive(const char* program, int argc, char** argv, OpenModel open);

} // namespace nf

// Selects the instruction set at run time.
#ifndef NF_ISA_H
#define NF_ISA_H

#include "kernel.h"

namespace nf {

// The preferred kernel that this CPU can run, or the one that NF_EDGE_ISA names; null if there is no such kernel.
const Kernel* chosen_kernel();

} // namespace nf

#endif

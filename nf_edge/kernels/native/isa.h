// The choice of an instruction set when the program runs.
#ifndef NF_ISA_H
#define NF_ISA_H

#include "kernel.h"

namespace nf {

// The preferred kernel of those that this CPU can run, or the one that NF_EDGE_ISA names; null if it names none.
const Kernel* chosen_kernel();

} // namespace nf

#endif

#ifndef NF_VALIDATE_H
#define NF_VALIDATE_H

#include "symmetric_attention.h"

namespace nf {

// NF_OK if the call is valid, otherwise the reason why it is not.
nf_status validate(const nf_attention* call);

} // namespace nf

#endif

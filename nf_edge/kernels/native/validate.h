#ifndef NF_VALIDATE_H
#define NF_VALIDATE_H

#include "symmetric_attention.h"

namespace nf {

nf_status validate(const nf_attention* call);

} // namespace nf

#endif

"""Making a checkpoint smaller: quantization by the libraries that know how, under our rules."""

"""The operators of a program that an accelerated library executes, and reasons for the others."""

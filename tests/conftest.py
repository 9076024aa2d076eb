"""Before the first computation of the tests: what this jaxlib is known to compute wrong is switched off."""

from jaxcnn.lowering.fusions import switch_off_wrong_fusions

switch_off_wrong_fusions()

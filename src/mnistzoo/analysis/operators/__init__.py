"""What each ATen operator does to windows, and what it costs."""

from mnistzoo.analysis.operators import mixing as mixing
from mnistzoo.analysis.operators import resizing as resizing
from mnistzoo.analysis.operators import shapes as shapes
from mnistzoo.analysis.operators import sliding as sliding
from mnistzoo.analysis.operators.call import RULES as RULES
from mnistzoo.analysis.operators.call import Call as Call
from mnistzoo.analysis.operators.macs import macs_of as macs_of

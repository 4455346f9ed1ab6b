"""One record for each operator: its rule for receptive fields, and its MACs."""

from mnistzoo.analysis.algebra.connections import Kernel as Kernel
from mnistzoo.analysis.algebra.layout import Layout as Layout
from mnistzoo.analysis.operators.base import Call as Call
from mnistzoo.analysis.operators.base import elementwise as elementwise
from mnistzoo.analysis.operators.base import read_all as read_all
from mnistzoo.analysis.operators.registry import register_operator as register_operator
from mnistzoo.analysis.operators.sliding import slide as slide

"""The five models by name: `exp1` … `exp5`, `get_model`, `list_models`, `from_pretrained`."""

from mnistzoo.models.averaging import average as average
from mnistzoo.models.convnet import ConvNet as ConvNet
from mnistzoo.models.registry import exp1 as exp1
from mnistzoo.models.registry import exp2 as exp2
from mnistzoo.models.registry import exp3 as exp3
from mnistzoo.models.registry import exp4 as exp4
from mnistzoo.models.registry import exp5 as exp5
from mnistzoo.models.registry import get_model as get_model
from mnistzoo.models.registry import list_models as list_models

from_pretrained = ConvNet.from_pretrained

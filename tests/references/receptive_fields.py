"""What google-research/receptive_field publishes of TF-Slim's networks (RECEPTIVE_FIELD_TABLE.md, October 2019).

A row is a named map: receptive field, effective stride, effective padding on images of 224 and of 321 pixels.
"""

FLOPS = {
    "alexnet_v2": (1.380, 3.036),
    "vgg_a": (14.984, 30.583),
    "vgg_16": (30.713, 62.729),
    "inception_v2": (3.883, 8.626),
    "inception_v2-no-separable-conv": (4.051, 8.973),
    "inception_v3": (5.689, 12.727),
    "inception_v4": (12.271, 27.390),
    "inception_resnet_v2": (12.958, 29.203),
    "inception_resnet_v2-same": (17.755, 39.873),
    "mobilenet_v1": (1.140, 2.542),
    "mobilenet_v1_075": (0.653, 1.454),
    "resnet_v1_50": (6.963, 15.629),
    "resnet_v1_101": (14.387, 32.334),
    "resnet_v1_152": (21.811, 48.854),
    "resnet_v1_200": (28.799, 63.836),
}
"""Floating-point operations up to the last map, in billions, at 224 and at 321 pixels."""

TABLE = """
alexnet_v2
    conv1                11    4     0     0
    pool1                19    8     0     0
    conv2                51    8    16    16
    conv3                99   16    32    32
    conv4               131   16    48    48
    conv5               163   16    64    64
    pool5               195   32    64    64
vgg_a
    conv1_1               3    1     1     1
    pool1                 4    2     1     1
    conv2_1               8    2     3     3
    pool2                10    4     3     3
    conv3_1              18    4     7     7
    conv3_2              26    4    11    11
    pool3                30    8    11    11
    conv4_1              46    8    19    19
    conv4_2              62    8    27    27
    pool4                70   16    27    27
    conv5_1             102   16    43    43
    conv5_2             134   16    59    59
    pool5               150   32    59    59
vgg_16
    conv1_1               3    1     1     1
    pool1                 6    2     2     2
    conv2_1              10    2     4     4
    pool2                16    4     6     6
    conv3_1              24    4    10    10
    conv3_2              32    4    14    14
    pool3                44    8    18    18
    conv4_1              60    8    26    26
    conv4_2              76    8    34    34
    pool4               100   16    42    42
    conv5_1             132   16    58    58
    conv5_2             164   16    74    74
    pool5               212   32    90    90
inception_v2 inception_v2-no-separable-conv
    Conv2d_1a_7x7         7    2     2     3
    MaxPool_2a_3x3       11    4     2     5
    Conv2d_2b_1x1        11    4     2     5
    Conv2d_2c_3x3        19    4     6     9
    MaxPool_3a_3x3       27    8     6    13
    Mixed_3b             59    8    22    29
    Mixed_3c             91    8    38    45
    Mixed_4a            123   16    46    61
    Mixed_4b            187   16    78    93
    Mixed_4c            251   16   110   125
    Mixed_4d            315   16   142   157
    Mixed_4e            379   16   174   189
    Mixed_5a            443   32   190   221
    Mixed_5b            571   32   254   285
    Mixed_5c            699   32   318   349
inception_v3
    Conv2d_1a_3x3         3    2     0     0
    Conv2d_2a_3x3         7    2     0     0
    Conv2d_2b_3x3        11    2     2     2
    MaxPool_3a_3x3       15    4     2     2
    Conv2d_3b_1x1        15    4     2     2
    Conv2d_4a_3x3        23    4     2     2
    MaxPool_5a_3x3       31    8     2     2
    Mixed_5b             63    8    18    18
    Mixed_5c             95    8    34    34
    Mixed_5d            127    8    50    50
    Mixed_6a            159   16    58    58
    Mixed_6b            351   16   154   154
    Mixed_6c            543   16   250   250
    Mixed_6d            735   16   346   346
    Mixed_6e            927   16   442   442
    Mixed_7a           1055   32   490   490
    Mixed_7b           1183   32   554   554
    Mixed_7c           1311   32   618   618
inception_v4
    Conv2d_1a_3x3         3    2     0     0
    Conv2d_2a_3x3         7    2     0     0
    Conv2d_2b_3x3        11    2     2     2
    Mixed_3a             15    4     2     2
    Mixed_4a             47    4    14    14
    Mixed_5a             55    8    14    14
    Mixed_5b             87    8    30    30
    Mixed_5c            119    8    46    46
    Mixed_5d            151    8    62    62
    Mixed_5e            183    8    78    78
    Mixed_6a            215   16    86    86
    Mixed_6b            407   16   182   182
    Mixed_6c            599   16   278   278
    Mixed_6d            791   16   374   374
    Mixed_6e            983   16   470   470
    Mixed_6f           1175   16   566   566
    Mixed_6g           1367   16   662   662
    Mixed_6h           1559   16   758   758
    Mixed_7a           1687   32   806   806
    Mixed_7b           1815   32   870   870
    Mixed_7c           1943   32   934   934
    Mixed_7d           2071   32   998   998
inception_resnet_v2
    Conv2d_1a_3x3         3    2     0     0
    Conv2d_2a_3x3         7    2     0     0
    Conv2d_2b_3x3        11    2     2     2
    MaxPool_3a_3x3       15    4     2     2
    Conv2d_3b_1x1        15    4     2     2
    Conv2d_4a_3x3        23    4     2     2
    MaxPool_5a_3x3       31    8     2     2
    Mixed_5b             63    8    18    18
    Mixed_6a            415   16   186   186
    PreAuxLogits       2335   16  1146  1146
    Mixed_7a           2399   32  1162  1162
    Conv2d_7b_1x1      3039   32  1482  1482
inception_resnet_v2-same
    Conv2d_1a_3x3         3    2     0     1
    Conv2d_2a_3x3         7    2     2     3
    Conv2d_2b_3x3        11    2     4     5
    MaxPool_3a_3x3       15    4     4     7
    Conv2d_3b_1x1        15    4     4     7
    Conv2d_4a_3x3        23    4     8    11
    MaxPool_5a_3x3       31    8     8    15
    Mixed_5b             63    8    24    31
    Mixed_6a            415   16   192   207
    PreAuxLogits       2335   16  1152  1167
    Mixed_7a           2399   32  1168  1199
    Conv2d_7b_1x1      3039   32  1488  1519
mobilenet_v1 mobilenet_v1_075
    Conv2d_0              3    2     0     1
    Conv2d_1_pointwise    7    2     2     3
    Conv2d_2_pointwise   11    4     2     5
    Conv2d_3_pointwise   19    4     6     9
    Conv2d_4_pointwise   27    8     6    13
    Conv2d_5_pointwise   43    8    14    21
    Conv2d_6_pointwise   59   16    14    29
    Conv2d_7_pointwise   91   16    30    45
    Conv2d_8_pointwise  123   16    46    61
    Conv2d_9_pointwise  155   16    62    77
    Conv2d_10_pointwise 187   16    78    93
    Conv2d_11_pointwise 219   16    94   109
    Conv2d_12_pointwise 251   32    94   125
    Conv2d_13_pointwise 315   32   126   157
resnet_v1_50
    block1               35    8    15    17
    block2               99   16    47    49
    block3              291   32   143   145
    block4              483   32   239   241
resnet_v1_101
    block1               35    8    15    17
    block2               99   16    47    49
    block3              835   32   415   417
    block4             1027   32   511   513
resnet_v1_152
    block1               35    8    15    17
    block2              163   16    79    81
    block3             1315   32   655   657
    block4             1507   32   751   753
resnet_v1_200
    block1               35    8    15    17
    block2              419   16   207   209
    block3             1571   32   783   785
    block4             1763   32   879   881
"""


def published():
    """Return {network: {map: (receptive field, stride, {image size: padding})}}."""
    table, current = {}, []
    for line in TABLE.strip().splitlines():
        if not line.startswith(" "):
            current = line.split()
            continue
        name, *numbers = line.split()
        field, stride, small, large = map(int, numbers)
        for network in current:
            table.setdefault(network, {})[name] = (field, stride, {224: small, 321: large})
    return table

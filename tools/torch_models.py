"""Our networks (nn/resnet.h, nn/vgg.h, nn/small_models.h) in plain PyTorch, with the same parameter names.

For comparisons only: tools/golden.py and tools/bench/peer_torch.py.
"""
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    """relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))"""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.downsample = nn.Identity()
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        y += self.downsample(x)
        return F.relu(y, inplace=True)


class ResNet18(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        cin = 64
        for layer, (cout, stride) in enumerate(((64, 1), (128, 2), (256, 2), (512, 2)), 1):
            setattr(self, "layer%d" % layer, nn.Sequential(Block(cin, cout, stride), Block(cout, cout, 1)))
            cin = cout
        self.fc = nn.Linear(512, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


def vgg16_features(bias, last_pool):
    layers, cin = [], 3
    for cout in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        if cout == 0:
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(cin, cout, 3, 1, 1, bias=bias), nn.BatchNorm2d(cout), nn.ReLU(inplace=True)]
        cin = cout
    return nn.Sequential(*(layers if last_pool else layers[:-1]))


class Vgg16Bn(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.features = vgg16_features(bias=False, last_pool=False)
        self.classifier = nn.Sequential(nn.Linear(2048, 256), nn.ReLU(inplace=True), nn.Linear(256, 256),
                                        nn.ReLU(inplace=True), nn.Linear(256, classes))

    def forward(self, x):
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), 2).flatten(1))


class Vgg16BnLth(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.features = vgg16_features(bias=True, last_pool=True)
        self.classifier = nn.Linear(512, classes)

    def forward(self, x):
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), 1).flatten(1))


MODELS = {"resnet18": (ResNet18, 11173962), "vgg16_bn": (Vgg16Bn, 15311818), "vgg16_bn_lth": (Vgg16BnLth, 14728266)}

"""Updates of unlearning in eager PyTorch, as one writes the formulas of arXiv 2511.02435 (docs/unlearning.md).

Each row is a function of a model's parameters that returns a step. Gradients as in `expunge bench unlearn`: normal,
deviation 1e-3, correlation -0.5 between the forget and the retain gradient. Adam: lr 1e-4, betas 0.9 and 0.999.
"""
import torch

BETA, RHO, EPS = 0.95, 0.9, 1e-8
HALF_ROOT = 0.5 ** 0.5


class Problem:
    def __init__(self, parameters):
        self.p = [p.detach().clone().requires_grad_() for p in parameters]
        self.g_f = [1e-3 * torch.randn_like(p) for p in self.p]
        self.g_r = [0.866e-3 * torch.randn_like(p) - 0.5 * f for p, f in zip(self.p, self.g_f)]
        self.v_f = [torch.zeros_like(p) for p in self.p]
        self.v_r = [torch.zeros_like(p) for p in self.p]


def adam_of(problem, foreach):
    return torch.optim.Adam(problem.p, lr=1e-4, foreach=foreach)


def signal(g, v):
    """erf(z / sqrt 2) with z = g / sqrt(V + 1e-8); V takes g in."""
    v.mul_(1 - RHO).addcmul_(g, g, value=RHO)
    return (g / (v + EPS).sqrt_()).mul_(HALF_ROOT).erf_()


def focus_adam_loop(parameters):
    problem = Problem(parameters)
    adam = adam_of(problem, foreach=False)

    def step():
        for p, g_f, g_r, v_f, v_r in zip(problem.p, problem.g_f, problem.g_r, problem.v_f, problem.v_r):
            phi = signal(g_f, v_f).mul_(signal(g_r, v_r)).mul_(0.5).add_(0.5)
            p.grad = (BETA * g_r).add_(g_f, alpha=1 - BETA).mul_(phi)
        adam.step()

    return step


class ForeachFocus:
    """phi d of two lists of gradients, by foreach operators. V takes them in: the first squares with weight 1 - rho."""

    def __init__(self, parameters):
        self.squares = [[torch.zeros_like(p) for p in parameters] for _ in range(2)]
        self.newest = 1 - RHO

    def signals(self, g, v):
        torch._foreach_mul_(v, 1 - RHO)
        torch._foreach_addcmul_(v, g, g, self.newest)
        root = torch._foreach_add(v, EPS)
        torch._foreach_sqrt_(root)
        z = torch._foreach_div(g, root)
        torch._foreach_mul_(z, HALF_ROOT)
        torch._foreach_erf_(z)
        return z

    def __call__(self, g_f, g_r):
        phi = self.signals(g_f, self.squares[0])
        torch._foreach_mul_(phi, self.signals(g_r, self.squares[1]))
        self.newest = RHO  # a graph is captured after steps that ran
        torch._foreach_mul_(phi, 0.5)
        torch._foreach_add_(phi, 0.5)
        d = torch._foreach_mul(g_r, BETA)
        torch._foreach_add_(d, g_f, alpha=1 - BETA)
        torch._foreach_mul_(d, phi)
        return d


def focus_adam_foreach(parameters):
    problem = Problem(parameters)
    adam = adam_of(problem, foreach=True)
    direction = ForeachFocus(problem.p)

    def step():
        for p, g in zip(problem.p, direction(problem.g_f, problem.g_r)):
            p.grad = g
        adam.step()

    return step


def opt_weight(g_f, g_r):
    """w of OPT: drops the first prefix, by rising product, that leaves the rest feasible. Sums in double, from the far
    end, as vectors over all prefixes."""
    a, b = 1 - BETA, BETA
    u, c = g_f.flatten().double(), g_r.flatten().double()
    product = u * c
    uu, cc, uc = u.dot(u), c.dot(c), product.sum()
    if min(a * uu + b * uc, b * cc + a * uc) >= 0:
        return torch.ones_like(g_f)
    product, order = product.sort()

    def left(x):  # sums of what is left when the first k are dropped
        return x.flip(0).cumsum(0).flip(0)

    uu, cc, uc = left(u[order].square_()), left(c[order].square_()), left(product)
    feasible = torch.minimum(a * uu + b * uc, b * cc + a * uc) >= 0
    first = int(feasible.int().argmax()) if bool(feasible.any()) else len(order)
    w = torch.ones(len(order), device=g_f.device)
    w[order[:first]] = 0
    return w.view_as(g_f)


def opt_adam_of(problem):
    adam = adam_of(problem, foreach=False)

    def step():
        for p, g_f, g_r in zip(problem.p, problem.g_f, problem.g_r):
            p.grad = (BETA * g_r).add_(g_f, alpha=1 - BETA).mul_(opt_weight(g_f, g_r))
        adam.step()

    return step


def opt_adam(parameters):
    return opt_adam_of(Problem(parameters))


ROWS = {"focus_adam_loop": focus_adam_loop, "focus_adam_foreach": focus_adam_foreach, "opt_adam": opt_adam}

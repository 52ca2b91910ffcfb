"""Derives the polynomials of src/_kernels/activation.inc and prints them as C initialisers.

    python tools/fit_activations.py

exp: 1 + r·g(r) on |r| <= ln(2)/2, g interpolated at Chebyshev nodes: one term less than Taylor needs for
float, two for double, at 0.1 ulp of error. silu's of float has another term less, and the least relative
error that 1 + r·g(r) can have, 9.2e-8. erfcx: Q(t) = erfcx(z)·(1 + CENTRE·z) as a polynomial in
t = (1 - CENTRE·z)/(1 + CENTRE·z), which maps z in [0, ∞) onto (-1, 1]: interpolated at Chebyshev nodes with
60 digits, then written in powers of t. Q stays between 0.28 and 1.1: no error is large relative to it.
"""

from collections.abc import Callable

import mpmath

mpmath.mp.dps = 60
CENTRE = mpmath.mpf("0.5")


def erfcx(z: mpmath.mpf) -> mpmath.mpf:
    if z > 30:
        # Continued fraction's asymptotic series: 60 digits are not needed, 25 are.
        total, term = mpmath.mpf(1), mpmath.mpf(1)
        for n in range(1, 60):
            following = term * -(2 * n - 1) / (2 * z * z)
            if abs(following) > abs(term):
                break
            term = following
            total += term
        return total / (z * mpmath.sqrt(mpmath.pi))
    return mpmath.exp(z * z) * mpmath.erfc(z)


def scaled(t: mpmath.mpf) -> mpmath.mpf:
    if t <= -1:
        return CENTRE / mpmath.sqrt(mpmath.pi)
    z = (1 - t) / (1 + t) / CENTRE
    return erfcx(z) * (1 + CENTRE * z)


def interpolate(
    function: Callable[[mpmath.mpf], mpmath.mpf], degree: int, reach: mpmath.mpf
) -> list[mpmath.mpf]:
    """Coefficients in ascending powers of the Chebyshev interpolant on [-reach, reach]."""
    count = degree + 1
    nodes = [reach * mpmath.cos(mpmath.pi * (2 * i + 1) / (2 * count)) for i in range(count)]
    values = [function(t) for t in nodes]
    matrix = mpmath.matrix(count, count)
    for i, node in enumerate(nodes):
        for j in range(count):
            matrix[i, j] = node**j
    return list(mpmath.lu_solve(matrix, mpmath.matrix(values)))


def exponential(degree: int) -> list[mpmath.mpf]:
    slope = interpolate(lambda r: mpmath.expm1(r) / r if r else mpmath.mpf(1), degree - 1, mpmath.log(2) / 2)
    return [mpmath.mpf(1), *slope]


def exponential_of_least_error(degree: int) -> list[mpmath.mpf]:
    """1 + r·g(r) of least relative error, by Remez's exchange: g's, times |r|/exp(r), alternates."""
    reach = mpmath.log(2) / 2
    count = degree + 1
    grid = [reach * mpmath.mpf(2 * i + 1 - 4000) / 4000 for i in range(4000)]  # without 0
    points = [reach * mpmath.cos(mpmath.pi * (2 * i + 1) / (2 * count)) for i in range(count)]
    coefficients: list[mpmath.mpf] = []
    for _ in range(10):
        matrix, right = mpmath.matrix(count, count), mpmath.matrix(count, 1)
        for i, r in enumerate(points):
            for j in range(degree):
                matrix[i, j] = r**j
            matrix[i, degree] = (-1) ** i * mpmath.exp(r) / abs(r)
            right[i] = mpmath.expm1(r) / r
        coefficients = [mpmath.mpf(1), *list(mpmath.lu_solve(matrix, right))[:degree]]
        extrema: dict[int, tuple[mpmath.mpf, mpmath.mpf]] = {}
        run, before = 0, mpmath.mpf(0)
        for r in grid:
            error = (mpmath.polyval(coefficients[::-1], r) / mpmath.exp(r) - 1) * mpmath.sign(r)
            run += error * before < 0
            before = error
            if run not in extrema or abs(error) > extrema[run][0]:
                extrema[run] = (abs(error), r)
        largest = sorted(extrema.values(), reverse=True)[:count]
        points = sorted((r for _, r in largest), reverse=True)
    return coefficients


def worst_error(coefficients: list[mpmath.mpf]) -> mpmath.mpf:
    worst = mpmath.mpf(0)
    for i in range(2001):
        t = mpmath.mpf(-1) + mpmath.mpf(2) * i / 2000
        exact = scaled(t)
        worst = max(worst, abs(mpmath.polyval(coefficients[::-1], t) / exact - 1))
    return worst


def main() -> None:
    for name, degree, digits in (("float", 11, 9), ("double", 26, 17)):
        coefficients = interpolate(scaled, degree, mpmath.mpf(1))
        print(
            f"/* erfcx, {name}: degree {degree}, "
            f"relative error {mpmath.nstr(worst_error(coefficients), 3)} */"
        )
        print(", ".join(mpmath.nstr(c, digits) for c in coefficients))
    for name, degree, digits in (("float", 6, 9), ("double", 11, 17)):
        print(f"/* exp, {name}: degree {degree} */")
        print(", ".join(mpmath.nstr(c, digits) for c in exponential(degree)))
    print("/* exp for silu, float: degree 5 */")
    print(", ".join(mpmath.nstr(c, 9) for c in exponential_of_least_error(5)))


if __name__ == "__main__":
    main()

/**
 * The seed of this run, for every random test in it: NONSTICK_SEED, or the one that `scripts/test` drew and printed.
 * A test that fails must name it: `NONSTICK_SEED=… scripts/test test/…` shows the same again.
 */
export const seed: number = Number(process.env['NONSTICK_SEED'] ?? Date.now() % 2 ** 31)

/** How many rounds a random test runs: `few` always, `many` with `scripts/test --long`. */
export const rounds = (few: number, many: number): number => (process.env['NONSTICK_LONG'] === '1' ? many : few)

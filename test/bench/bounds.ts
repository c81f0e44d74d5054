/**
 * What each ratio of `ratios.test.ts` was when it was last recorded, with a sixth of room for other machines. A change that
 * makes a ratio better lowers its bound; none raises it without a decision that says why.
 */
export const BOUNDS = {
  codec1500OverJson: 2.1,
  codec20000OverJson: 2.2,
  cacheGetOverBareSocket: 4,
  loadOverCacheGet: 9,
  saveOverLoad: 3.5,
  readOverMemoryStore: 1.6,
  writeOverMemoryStore: 2.2,
} as const

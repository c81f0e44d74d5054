/**
 * Does work with many items at once. Where it cannot be done because of some of them, it is done with the first half and
 * then with the second, each by itself, until the items that are at fault stand alone.
 *
 * @param work gives one result for each item, in their order; `undefined` where the items are to be halved, which it must
 *   not answer for a single item
 * @returns one result for each item, in their order. What `work` throws is thrown, and what was done is forgotten.
 */
export const inHalves = async <Item, Result>(
  items: readonly Item[],
  work: (part: readonly Item[]) => Promise<readonly Result[] | undefined>,
): Promise<readonly Result[]> => {
  const results = await work(items)
  if (results !== undefined) return results
  const middle = Math.ceil(items.length / 2)
  const first = await inHalves(items.slice(0, middle), work)
  return [...first, ...(await inHalves(items.slice(middle), work))]
}

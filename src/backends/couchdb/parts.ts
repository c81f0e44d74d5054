/** A request holds at most this many documents, */
const LARGEST_NUMBER = 200

/** and, unless it holds a single one, at most this many characters of them: a slow wire must get them across in time. */
const LARGEST_LENGTH = 1_000_000

/** What a document takes beside its data, roughly. */
const FRAME = 1_500

/** Documents in their order, in parts of which each fits into one request. */
export const partsOf = <Item>(
  items: readonly Item[],
  contentOf: (item: Item) => Readonly<Record<string, unknown>>,
): readonly (readonly Item[])[] => {
  const parts: Item[][] = []
  let length = 0
  for (const item of items) {
    const part = parts.at(-1)
    const { data } = contentOf(item)
    const more = FRAME + (typeof data === 'string' ? data.length : 0)
    if (part !== undefined && part.length < LARGEST_NUMBER && length + more <= LARGEST_LENGTH) {
      part.push(item)
      length += more
    } else {
      parts.push([item])
      length = more
    }
  }
  return parts
}

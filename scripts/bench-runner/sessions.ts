/** Sessions as applications keep them, that hold nothing but what JSON has. */

/** How large a session is, in bytes of JSON. */
export const SIZES = [250, 1_500, 20_000] as const
export type Size = (typeof SIZES)[number]

/** The size by which the stores are compared. */
export const USUAL_SIZE: Size = 1_500

export interface SessionData {
  readonly user: { readonly id: number; readonly name: string; readonly roles: readonly string[] }
  readonly csrf: string
  readonly seenAt: string
  readonly cart: readonly {
    readonly article: number
    readonly title: string
    readonly count: number
    readonly price: number
  }[]
  readonly visited: readonly string[]
  readonly note: string
  count: number
}

const TITLES = ['Kettle, 1.7 litres', 'Wool blanket, grey', 'Paperback: The Long Road', 'Desk lamp', 'Running shoes 42']

/** A number that has nothing to do with those of its neighbours. */
const scattered = (user: number, at: number): number => Math.imul(user * 1_021 + at + 1, 2_654_435_761) >>> 0

/** A session of the user of that number, which makes exactly so many bytes of JSON. */
export const sessionOf = (bytes: Size, user = 1): SessionData => {
  const withCart = (length: number): SessionData => ({
    user: { id: 700_000 + (scattered(user, 0) % 99_999), name: `user-${user}@example.org`, roles: ['customer'] },
    csrf: scattered(user, user).toString(36).padStart(22, 'k').slice(0, 22),
    seenAt: '2026-11-30T08:15:42.517Z',
    cart: Array.from({ length }, (_, at) => ({
      article: 10_000 + (scattered(user, at) % 89_999),
      title: TITLES[at % TITLES.length] ?? '',
      count: (at % 3) + 1,
      price: 1_999 + 100 * at,
    })),
    visited: Array.from({ length }, (_, at) => `/catalogue/${scattered(at, user).toString(36)}?page=${(at % 7) + 1}`),
    note: '',
    count: 10_000,
  })
  const sizeOf = (data: SessionData): number => Buffer.byteLength(JSON.stringify(data))
  let length = 0
  while (sizeOf(withCart(length + 1)) <= bytes) length += 1
  const data = withCart(length)
  return { ...data, note: 'n'.repeat(bytes - sizeOf(data)) }
}

/** What a check found. */
export interface Verdict {
  /** `not asked`: nobody could tell, such as a registry that does not answer. It fails nothing, and is said. */
  readonly state: 'ok' | 'failed' | 'not asked'
  /** One sentence for people. */
  readonly words: string
  /** What to do; only where it is not ok. */
  readonly todo?: string
}

export const ok = (words: string): Verdict => ({ state: 'ok', words })
export const failed = (words: string, todo: string): Verdict => ({ state: 'failed', words, todo })
export const notAsked = (words: string, todo: string): Verdict => ({ state: 'not asked', words, todo })

/** The first few of many, so that a line stays one. */
export const some = (items: readonly string[], most = 5): string =>
  items.length <= most ? items.join(', ') : `${items.slice(0, most).join(', ')} and ${items.length - most} more`

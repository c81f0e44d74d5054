/** Why sessions were not carried: in words, by the place in the data, and by some of their handles. */
export interface Reason {
  readonly because: string
  /** Where in the data: `data.cart[2].price`. Absent where it is about the whole. */
  readonly path?: string
  count: number
  /** Of the first of them. A handle lets nobody in. */
  readonly handles: string[]
}

const MOST_REASONS = 100
const MOST_HANDLES = 5
const OTHER = 'it is for one of many other reasons'

/** The reasons, each once. */
export class Reasons {
  readonly #all = new Map<string, Reason>()

  add({ because, path, handle }: { because: string; path?: string | undefined; handle?: string | undefined }): void {
    const own = JSON.stringify([because, path])
    const isOther = !this.#all.has(own) && this.#all.size >= MOST_REASONS
    const key = isOther ? OTHER : own
    const known = this.#all.get(key) ?? (isOther ? { because: OTHER, count: 0, handles: [] } : undefined)
    const reason = known ?? { because, ...(path === undefined ? {} : { path }), count: 0, handles: [] }
    this.#all.set(key, reason)
    reason.count += 1
    if (handle !== undefined && reason.handles.length < MOST_HANDLES) reason.handles.push(handle)
  }

  get list(): readonly Reason[] {
    return [...this.#all.values()].sort((one, other) => other.count - one.count)
  }
}

/** The reasons as lines for people. */
export const shownReasons = (reasons: readonly Reason[]): readonly string[] =>
  reasons.map(({ because, path, count, handles }) => {
    const where = path === undefined ? '' : ` at ${path}`
    const which = handles.length === 0 ? '' : ` (${handles.join(', ')}${count > handles.length ? ', …' : ''})`
    return `  ${count}: ${because}${where}${which}`
  })

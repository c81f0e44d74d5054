/** What one answer showed of a session: whose it is, and its lists of tokens by name. */
export interface View {
  readonly user: string | undefined
  readonly lists: Readonly<Record<string, readonly string[]>>
}

/** One request under way. */
export interface Exchange {
  readonly startedAt: number
  readonly write: Write | undefined
}

/** One token that a request asked to be appended to one list. Moments are counts of what happened so far. */
interface Write {
  readonly list: string
  readonly token: string
  readonly sentAt: number
  /** Answered with success: from now on every request sees it, unless the kill took it. */
  ackedAt: number | undefined
  /** Answered with an error: it may be in or not, and once it was seen it stays. */
  failedAt: number | undefined
  /** Seen first. */
  seenAt: number | undefined
  /** Seen first by a request that began after the kill: it survived. */
  survivedAt: number | undefined
  /** The latest beginning of such a request. */
  survivedFor: number | undefined
  /** Seen to be overwritten, after it had survived. */
  overwrittenAt: number | undefined
  /** The latest beginning of a request whose answer showed that the kill took it. */
  goneFor: number | undefined
}

export interface Verdict {
  /** Acknowledged writes that the kill took. */
  readonly lost: number
  /** How many of them are more than the promise allows. */
  readonly beyondBound: number
  /** Defects that only the whole history shows. */
  readonly complaints: readonly string[]
}

/**
 * Judges each answer a user gets by what the user's own history allows. It knows nothing of the store.
 *
 * Before the kill an answer must show exactly what was acknowledged before its request was sent; of writes
 * under way at the same time it may show some. The kill of the cache may take the newest acknowledged writes.
 * Which ones, the first answer to a request sent after it decides, and from there on answers are exact again, but for
 * what writes that were under way then bring back or take away.
 *
 * Each list is written by one tab at a time, so its tokens stand in the order they were sent in. A write whose
 * answer was an error may be in or not, and may even arrive late and carry the list as it was then; so the tab
 * goes on with a new list (`nextList`).
 */
export class History {
  readonly user: string
  readonly #lists = new Map<string, Write[]>()
  #now = 0
  #killBeganAt: number | undefined
  #killedAt: number | undefined

  constructor(user: string) {
    this.user = user
  }

  /** A request is sent. */
  begin(write?: { readonly list: string; readonly token: string }): Exchange {
    const startedAt = ++this.#now
    if (write === undefined) return { startedAt, write: undefined }
    const entry: Write = {
      list: write.list,
      token: write.token,
      sentAt: startedAt,
      ackedAt: undefined,
      failedAt: undefined,
      seenAt: undefined,
      survivedAt: undefined,
      survivedFor: undefined,
      overwrittenAt: undefined,
      goneFor: undefined,
    }
    const list = this.#lists.get(write.list)
    if (list === undefined) this.#lists.set(write.list, [entry])
    else list.push(entry)
    return { startedAt, write: entry }
  }

  /** It was answered with an error, or not at all. */
  failed(exchange: Exchange): void {
    const now = ++this.#now
    if (exchange.write !== undefined) exchange.write.failedAt = now
  }

  /** The cache is about to be killed. */
  killBegins(): void {
    this.#killBeganAt = ++this.#now
  }

  /** The cache is dead. Requests begun from now on see what is left. */
  killEnded(): void {
    this.#killedAt = ++this.#now
  }

  /** It was answered with success. What comes back is empty for a right answer. */
  answered(exchange: Exchange, view: View): readonly string[] {
    const now = ++this.#now
    const own = exchange.write
    if (own !== undefined) own.ackedAt = now
    if (view.user === undefined) return ['the session is gone']
    if (view.user !== this.user) return [`${view.user}'s session was shown to ${this.user}`]
    const shown = this.#shown(view)
    const complaints = [...shown.complaints]
    for (const list of this.#lists.values())
      for (const write of list) {
        const complaint = shown.writes.has(write)
          ? this.#present(write, exchange, now)
          : this.#absent(write, exchange, now)
        if (complaint !== undefined) complaints.push(`${write.token} ${complaint}`)
      }
    return complaints
  }

  /** After the last answer: what the kill cost. */
  verdict(maxStaleCount: number): Verdict {
    const acked = [...this.#lists.values()].flat().filter((write) => write.ackedAt !== undefined)
    const lost = acked.filter((write) => write.goneFor !== undefined)
    const complaints: string[] = []
    // A write that was under way may have brought back a part, newer or older.
    const isCut = this.#underWayUntil() === undefined
    for (const gone of isCut ? lost : []) {
      const newer = acked.find(
        (kept) =>
          kept.goneFor === undefined &&
          kept.sentAt > (gone.ackedAt ?? Number.POSITIVE_INFINITY) &&
          kept.sentAt < (this.#killBeganAt ?? 0),
      )
      if (newer !== undefined) complaints.push(`${gone.token} is lost although the newer ${newer.token} is not`)
    }
    return { lost: lost.length, beyondBound: Math.max(0, lost.length - (maxStaleCount - 1)), complaints }
  }

  /** The writes a view shows; a token nobody sent, one shown twice and one out of order are complaints. */
  #shown(view: View): { readonly writes: ReadonlySet<Write>; readonly complaints: readonly string[] } {
    const writes = new Set<Write>()
    const complaints: string[] = []
    for (const [name, tokens] of Object.entries(view.lists)) {
      const sent = this.#lists.get(name) ?? []
      let last = -1
      for (const token of tokens) {
        const at = sent.findIndex((write) => write.token === token)
        const write = sent[at]
        if (write === undefined) complaints.push(`nobody put ${token} into ${name}`)
        else if (writes.has(write)) complaints.push(`${token} is there twice`)
        else if (at < last) complaints.push(`${token} is out of order`)
        if (write !== undefined) writes.add(write)
        last = Math.max(last, at)
      }
    }
    return { writes, complaints }
  }

  #present(write: Write, exchange: Exchange, now: number): string | undefined {
    write.seenAt ??= now
    if (this.#killedAt === undefined || exchange.startedAt < this.#killedAt) return undefined
    // An answer may be older than one that came sooner.
    if (exchange.startedAt < (write.overwrittenAt ?? 0)) return undefined
    if (write.goneFor !== undefined) {
      if (write.goneFor > (this.#underWayUntil() ?? 0)) return 'came back after it was lost'
      write.goneFor = undefined
    }
    write.survivedAt ??= now
    write.survivedFor = Math.max(write.survivedFor ?? 0, exchange.startedAt)
    return undefined
  }

  #absent(write: Write, exchange: Exchange, now: number): string | undefined {
    const isOwn = exchange.write === write
    const boundAt = write.ackedAt ?? write.seenAt
    if (!isOwn && (boundAt === undefined || boundAt > exchange.startedAt)) return undefined
    if (isOwn || !this.#atRisk(write)) return 'was acknowledged and is missing'
    if (write.survivedAt === undefined) {
      write.goneFor = Math.max(write.goneFor ?? 0, exchange.startedAt)
      return undefined
    }
    if (write.survivedAt > exchange.startedAt) return undefined
    if (!this.#mayBeOverwritten(write)) return 'had survived the kill and is missing'
    write.goneFor = exchange.startedAt
    write.overwrittenAt = now
    write.survivedAt = undefined
    write.survivedFor = undefined
    return undefined
  }

  /**
   * A write under way during the kill brought this one back after a later write of the same list had loaded the session
   * without it. That later write stands, as the later of two changes of one key does, and takes this one away.
   */
  #mayBeOverwritten({ list, survivedAt = 0, survivedFor = 0 }: Write): boolean {
    return (this.#lists.get(list) ?? []).some(
      ({ sentAt, ackedAt = Number.POSITIVE_INFINITY }) =>
        sentAt > (this.#killBeganAt ?? 0) && sentAt < survivedAt && ackedAt > survivedFor,
    )
  }

  /** Sent before the cache was dead: its acknowledgement may rest on the cache alone. */
  #atRisk(write: Write): boolean {
    return this.#killBeganAt !== undefined && write.sentAt < (this.#killedAt ?? Number.POSITIVE_INFINITY)
  }

  /**
   * Until when something lost may come back. A write under way during the kill was made on a copy loaded before
   * it, and may bring that copy back: less is lost than another request, served in between, has seen. Once it
   * was answered, the next request decides; if it was refused, it may still arrive. `undefined`: there was none.
   */
  #underWayUntil(): number | undefined {
    const began = this.#killBeganAt
    const ended = this.#killedAt
    if (began === undefined || ended === undefined) return undefined
    const answers = [...this.#lists.values()]
      .flat()
      .filter(({ sentAt, ackedAt, failedAt }) => sentAt < ended && (ackedAt ?? failedAt ?? ended) > began)
      .map(({ ackedAt }) => ackedAt ?? Number.POSITIVE_INFINITY)
    return answers.length === 0 ? undefined : Math.max(...answers)
  }
}

/** The name a tab goes on with after a write whose outcome it does not know: `left`, `left.1`, `left.2`. */
export const nextList = (list: string): string => {
  const [tab, count] = list.split('.')
  return `${tab}.${Number(count ?? 0) + 1}`
}

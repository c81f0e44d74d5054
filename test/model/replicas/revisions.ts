import type { Leaf } from '../../../src/backends/couchdb/document.js'
import type { StoredSession } from '../../../src/contract/backend.js'
import { lineageNumber, writesIn } from '../data.js'

/*
 * One document's tree of revisions. The world has one list of all revisions there ever were; a set of them, as a
 * replica keeps it, is a mask of their numbers.
 */

export type Mask = number

/** A revision, by its place in the list of all. */
export type Rev = number

export type Content =
  | { readonly kind: 'session'; readonly session: StoredSession }
  | { readonly kind: 'tombstone'; readonly by: number }
  /** Deleted, as CouchDB deletes: a revision without content, which ends its branch. */
  | { readonly kind: 'removed' }

export interface Revision {
  readonly parent: Rev | undefined
  /** The first part of a `_rev`. */
  readonly generation: number
  readonly content: Content
  /** It and all that it comes from. */
  readonly path: Mask
  /** As the store's own `winnerOf` takes it. */
  readonly leaf: Leaf | undefined
}

export type Revisions = readonly Revision[]

export const MOST_REVISIONS = 30

export const numbersIn = (mask: Mask): Rev[] => {
  const numbers: Rev[] = []
  for (let left = mask; left !== 0; left &= left - 1) numbers.push(31 - Math.clz32(left & -left))
  return numbers
}

export const countOf = (mask: Mask): number => numbersIn(mask).length

/** Three numbers that tell contents apart. */
export const codeOf = (content: Content): readonly [number, number, number] =>
  content.kind === 'session'
    ? [lineageNumber(content.session.lineage), content.session.version, writesIn(content.session)]
    : content.kind === 'tombstone'
      ? [-1, content.by, 0]
      : [-2, 0, 0]

const isSame = (one: Content, other: Content): boolean => codeOf(one).join() === codeOf(other).join()

/** The revision's number: CouchDB names it by parent and content, so that the same twice is one revision. */
export const withRevision = (
  revisions: Revisions,
  parent: Rev | undefined,
  content: Content,
): { readonly revisions: Revisions; readonly number: Rev } => {
  const known = revisions.findIndex((each) => each.parent === parent && isSame(each.content, content))
  if (known >= 0) return { revisions, number: known }
  const number = revisions.length
  if (number >= MOST_REVISIONS) throw new RangeError(`At most ${MOST_REVISIONS} revisions of one document`)
  const before = parent === undefined ? undefined : revisions[parent]
  const generation = (before?.generation ?? 0) + 1
  const revision = {
    parent,
    generation,
    content,
    path: (before?.path ?? 0) | (1 << number),
    leaf: leafOf(content, `${generation}-${String(number).padStart(2, '0')}`),
  }
  return { revisions: [...revisions, revision], number }
}

const leafOf = (content: Content, revision: string): Leaf | undefined => {
  if (content.kind === 'session') return { kind: 'session', revision, session: content.session }
  if (content.kind === 'tombstone') return { kind: 'tombstone', revision, writeId: `x${content.by}`, keepUntil: 0 }
  return undefined
}

/** Those of a set that nothing in it comes from; removed ones too. */
export const leavesOf = (revisions: Revisions, mask: Mask): Mask => {
  let leaves = mask
  for (const number of numbersIn(mask)) {
    const { parent } = at(revisions, number)
    if (parent !== undefined) leaves &= ~(1 << parent)
  }
  return leaves
}

/** The leaves that say something. */
export const standingOf = (revisions: Revisions, mask: Mask): Mask =>
  numbersIn(leavesOf(revisions, mask))
    .filter((number) => !isRemoved(revisions, number))
    .reduce((standing, number) => standing | (1 << number), 0)

/** What CouchDB itself shows of a document: a leaf that is not removed, the longest branch, the greatest name. */
export const shownOf = (revisions: Revisions, mask: Mask): Rev | undefined => {
  const [first] = numbersIn(leavesOf(revisions, mask)).sort(
    (one, other) =>
      Number(isRemoved(revisions, one)) - Number(isRemoved(revisions, other)) ||
      at(revisions, other).generation - at(revisions, one).generation ||
      other - one,
  )
  return first
}

export const isRemoved = (revisions: Revisions, number: Rev): boolean =>
  at(revisions, number).content.kind === 'removed'

export const at = (revisions: Revisions, number: Rev): Revision => {
  const revision = revisions[number]
  if (revision === undefined) throw new RangeError(`There is no revision ${number}`)
  return revision
}

import type { Encoded } from '../../session/sameness.js'
import type { Steps } from '../../tools/turns.js'
import type { Context } from '../context.js'
import { type Customs, viewCarriedOver } from '../protocol/resolve.js'

/**
 * The data of a handle from one time that a save replaces it to the next. A save that merges in changes of others replaces
 * the data by what it stored, with what the request has changed since it called that save.
 *
 * What a request held at two of its calls shows what it changed between them only if both copies are of one edition:
 * otherwise the changes of others that came in with a later edition would count as changes of this request.
 */
export interface Edition {
  /** How the data was replaced after it. An edition knows only what came later, so that nobody keeps the older ones. */
  next: { readonly asked: Encoded; readonly stored: Encoded; readonly edition: Edition } | undefined
}

/** A save that has not ended, and what the request held when it was called. */
export interface SaveInLine {
  /** What was to be stored of it, and of which edition of the data it is. */
  readonly wanted: Encoded
  readonly edition: Edition
  /**
   * The save that was acknowledged last, of this one and of those that it had to wait for. It is known once the saves
   * before it have ended; `undefined` where none of them was acknowledged.
   */
  lastStored: SaveInLine | undefined
}

export const firstEdition = (): Edition => ({ next: undefined })

/** Begins the next edition: what a save asked for, in the edition until now, has been replaced by what it stored. */
export const beginEdition = (handle: { edition: Edition }, asked: Encoded, stored: Encoded): void => {
  const edition = firstEdition()
  handle.edition.next = { asked, stored, edition }
  handle.edition = edition
}

/** Gives what was to be stored by a save, with all that has come into the data up to a later edition, in steps. */
export function* inEdition<Data>(
  context: Context,
  customs: Customs<Data>,
  { wanted, edition }: Pick<SaveInLine, 'wanted' | 'edition'>,
  later: Edition,
): Steps<Encoded> {
  let [view, at] = [wanted, edition]
  while (at !== later && at.next !== undefined) {
    const { asked, stored } = at.next
    view = (yield* viewCarriedOver(context, customs, { before: asked, after: view, onto: stored })) ?? stored
    at = at.next.edition
  }
  return view
}

/** A call that stores what a handle holds, as it was made. */
export interface Called {
  /** The save that it has to wait for. */
  readonly before: SaveInLine | undefined
  /** The edition that it stores. */
  readonly edition: Edition
}

/**
 * Gives the copy from which the changes of a call are found, once its turn has come: what the request held when it called
 * the save that was acknowledged last, as that was in the edition of this call.
 */
export function* basisOf<Data>(
  context: Context,
  customs: Customs<Data>,
  { known }: { readonly known: Encoded },
  { before, edition }: Called,
): Steps<Encoded> {
  const last = before?.lastStored
  return last === undefined ? known : yield* inEdition(context, customs, last, edition)
}

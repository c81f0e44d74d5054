import type { GivenIdleTtl, SaveOptions, SaveReport } from '../../contract/session-store.js'
import { isSessionStoreError, SessionStoreError } from '../../errors.js'
import { clientOf } from '../../session/client.js'
import { type HeldVersion, heldVerdict } from '../../session/decisions.js'
import { type Encoded, sameBytes } from '../../session/sameness.js'
import { asDurable, isUnflushed } from '../../session/transitions.js'
import { atOnce, inTurns, type Steps } from '../../tools/turns.js'
import { changesIdleTime } from '../idle-ttl.js'
import type { LiveCopy } from '../protocol/read.js'
import {
  type Change,
  carriedOver,
  decoded,
  keeping,
  rebased,
  resolving,
  restored,
  type Wanted,
  wantedOf,
} from '../protocol/resolve.js'
import { noTries, unknownOutcome, type WriteIntent, type WriteResult } from '../protocol/write.js'
import type { Call } from './call.js'
import { givenIdleTtl } from './call-options.js'
import { basisOf, type Handle, type SaveInLine } from './handle.js'
import type { CallParts } from './parts.js'
import { touch } from './touch.js'

/** How a handle takes up what was stored. */
export interface Adoption {
  /**
   * What `data` was when the save was called; where an earlier save has put others' changes into `data` since then, with
   * these. It differs from what is wanted where `data` is kept free of them.
   */
  readonly asked?: Wanted
  /** Whether `data` is kept free of changes of others. */
  readonly isolated?: boolean
  /** Whether an earlier save has replaced `data` since this one was called. */
  readonly isReplaced?: boolean
}

/** How a handle is saved: which of its changes are stored, and what it holds afterwards. */
export interface Saving<Data> {
  /** Stores what the handle holds now, in turn with the other calls of this handle. */
  save(handle: Handle<Data>, options: SaveOptions, call: Call): Promise<SaveReport>
  /** Extends the session, in turn with the other calls of this handle. Does nothing where the session is gone. */
  touch(handle: Handle<Data>, idleTtlMs: GivenIdleTtl | undefined, call: Call): Promise<void>
  /**
   * Makes what was acknowledged what the handle takes for stored, in steps. Its data, its base and its user change
   * together, in the last of them.
   */
  adopting(handle: Handle<Data>, wanted: Wanted, written: WriteResult, how?: Adoption): Steps<void>
  /** Gives what was found last in the tiers, after waiting for what runs in the background for this handle. */
  newestOf(handle: Handle<Data>): Promise<LiveCopy>
  viewOf(wanted: Wanted): Encoded
}

/** The options of a save, after its idle time-out was checked. */
type GivenSaveOptions = Omit<SaveOptions, 'idleTtlMs'> & { readonly idleTtlMs: GivenIdleTtl | undefined }

export const saving = <Data>({ context, customs, writes, queue }: CallParts<Data>): Saving<Data> => {
  const newestOf = async (handle: Handle<Data>): Promise<LiveCopy> => {
    await handle.beside
    handle.beside = undefined
    return handle.newest
  }

  const viewOf = ({ data }: Wanted): Encoded => ({ codecId: context.values.codecId, data })

  const adopting: Saving<Data>['adopting'] = function* (handle, wanted, written, how = {}) {
    const { asked = wanted, isolated = false, isReplaced = false } = how
    const { stored, now, resolved, durability, writeId } = written
    const isDurable = durability === 'backend'
    const anchor = isDurable ? stored : yield* anchorAfter(handle, viewOf(wanted), stored)
    // If no changes of others came in, the request's own object stays in place, as others may refer to it.
    const isAsAsked = sameBytes(stored, viewOf(asked))
    const staysInPlace = isolated || (isAsAsked && !(isReplaced && isGivenInstead(asked)))
    const onto = staysInPlace ? undefined : yield* laterChanges(handle, asked)
    // The request may change its data between two steps, so that from here on there is only one.
    if (!staysInPlace) {
      handle.data = (onto === undefined ? resolved.value : withChangesSince(onto, handle.data, resolved.value)) as Data
      handle.replaced += 1
    }
    handle.anchor = anchor
    handle.unflushedWriteId = isDurable ? undefined : writeId
    handle.base = stored
    handle.userId = resolved.userId
    handle.newest = now
    handle.doubtful = []
    handle.held = isAsAsked || !isolated ? undefined : viewOf(asked)
  }

  /** Whether `beforeSave` returned something in place of the data, which tells nothing about the changes of the request. */
  const isGivenInstead = ({ value, source }: Wanted): boolean => value !== source

  /**
   * The anchor after a save that only the cache has: the old anchor, with the changes of others that the save merged
   * in, as those are not changes of this request.
   */
  function* anchorAfter({ anchor }: Handle<Data>, wanted: Encoded, stored: Encoded): Steps<Encoded> {
    if (sameBytes(stored, wanted)) return anchor
    const { codecId, encode } = context.values
    const before = yield* decoded(context, wanted)
    const after = yield* decoded(context, stored)
    const onto = yield* decoded(context, anchor)
    yield stored.data.length
    const merged = yield* carriedOver(context, customs, before, after, onto)
    if (merged === undefined) return stored
    yield stored.data.length
    return { codecId, data: encode(merged) }
  }

  /**
   * Whether the request has changed its data since it called `save`: a copy of the data as it was then, or `undefined`
   * where it has not.
   */
  function* laterChanges(handle: Handle<Data>, asked: Wanted): Steps<{ readonly before: unknown } | undefined> {
    if (isGivenInstead(asked)) return undefined
    yield asked.data.length
    if (isAs(handle.data, viewOf(asked))) return undefined
    const before = yield* decoded(context, viewOf(asked))
    yield asked.data.length
    return { before }
  }

  /** What is stored, with the changes that the request has made since it called `save`. */
  const withChangesSince = ({ before }: { readonly before: unknown }, held: Data, stored: unknown): unknown =>
    atOnce(carriedOver(context, customs, before, held, stored)) ?? stored

  const isAs = (data: Data, view: Encoded): boolean => {
    try {
      return sameBytes(view, { codecId: context.values.codecId, data: context.values.encode(data) })
    } catch {
      return false // the data cannot be stored any more, as its next save will say
    }
  }

  const save = (handle: Handle<Data>, saveOptions: SaveOptions, call: Call): Promise<SaveReport> => {
    const idleTtlMs = givenIdleTtl(saveOptions.idleTtlMs, context.options)
    const wanted = wantedOf(context, customs, handle.data)
    const before = handle.lastSave
    const mine: SaveInLine = {
      wanted: viewOf(wanted),
      basis: undefined,
      replaced: handle.replaced,
      isStored: false,
    }
    handle.lastSave = mine
    return handle.inTurn(async () => {
      try {
        // Another save of this handle may have ended only now: the changes of this save are those since that one
        // was called.
        mine.basis = basisOf(handle, before)
        call.refuseIfLate()
        return await saveInTurn(handle, wanted, mine, { ...saveOptions, idleTtlMs }, call)
      } finally {
        if (handle.lastSave === mine) handle.lastSave = undefined
      }
    })
  }

  const saveInTurn = async (
    handle: Handle<Data>,
    asked: Wanted,
    mine: SaveInLine,
    { durable = false, unmergedKeys = [], idleTtlMs, isolated = false, client }: GivenSaveOptions,
    call: Call,
  ): Promise<SaveReport> => {
    if (client !== undefined) handle.client = clientOf(client)
    const { doubtful } = handle
    const newest = await newestOf(handle)
    const basis = mine.basis ?? handle.known
    const { base, userId } = handle
    const changed = !sameBytes(mine.wanted, basis)
    const ttlChanged = changesIdleTime(idleTtlMs, newest.envelope)
    if (!changed && !ttlChanged && doubtful.length === 0 && !durable) {
      const report = await saveUnchanged(handle, newest)
      mine.isStored = true
      return report
    }
    const rebasing = inTurns(rebased(context, customs, { basis, wanted: asked, onto: base, unmergedKeys }))
    const wanted = rebasing instanceof Promise ? await rebasing : rebasing
    const change = { basis: base, basisUser: userId, wanted, unmergedKeys }
    const isReplaced = handle.replaced !== mine.replaced
    const how = { asked: handle.held === undefined ? wanted : asked, isolated, isReplaced }
    if (!changed && !ttlChanged && doubtful.length === 0) {
      const report = await saveUnchangedDurably(handle, change, how, call)
      mine.isStored = true
      return report
    }
    const resolve = withWhatWasLost(handle, change, { durable, proves: false })
    const written = await writeOf(handle, viewOf(wanted), { base: newest, resolve, idleTtlMs, durable, call })
    mine.isStored = true
    const adopted = inTurns(adopting(handle, wanted, written, how))
    if (adopted instanceof Promise) await adopted
    return { changed, merged: !sameBytes(written.stored, mine.wanted), durability: written.durability }
  }

  /** Makes a write of a handle, in line behind the other writes of its session. */
  const writeOf = async (
    handle: Handle<Data>,
    wanted: Encoded,
    intent: Omit<WriteIntent, 'locator' | 'of' | 'tries' | 'doubtful' | 'client'>,
  ): Promise<WriteResult> => {
    const { locator, doubtful, client } = handle
    const tries = noTries(context.runtime)
    try {
      return await queue.run(locator.key, async () => {
        intent.call.refuseIfLate()
        return await writes.write({ ...intent, locator, of: handle.base, tries, doubtful, client })
      })
    } catch (error) {
      // The handle takes nothing for stored that was not acknowledged. But its next save has to know what may be in.
      if (tries.doubt !== undefined) handle.doubtful = [...doubtful, { doubt: tries.doubt, wanted }]
      throw error
    }
  }

  /** The version that a handle holds, where it is not known to be in the backend. */
  const heldBy = ({ base, unflushedWriteId }: Handle<Data>): HeldVersion | undefined =>
    isUnflushed(base) ? { lineage: base.lineage, version: base.version, writeId: unflushedWriteId } : undefined

  /**
   * Stores a change. Where the cache lost what this request was told is stored, before that was in the backend, it is
   * put back first. A durable save rejects where nobody can tell whether it was lost, as it could not prove what it
   * says.
   *
   * @param proves whether the save is to prove that what the handle holds is in the backend. Then others must not have
   *   changed the same since.
   */
  const withWhatWasLost = (
    handle: Handle<Data>,
    change: Change,
    { durable, proves }: { readonly durable: boolean; readonly proves: boolean },
  ): WriteIntent['resolve'] => {
    const resolve = resolving(context, customs, change)
    const held = heldBy(handle)
    const { base, anchor } = handle
    if (held === undefined || sameBytes(base, anchor)) return resolve
    return function* (current, newerBasis) {
      const verdict = newerBasis === undefined ? heldVerdict(current, held) : 'in'
      if (verdict === 'cannot tell' && durable) throw unknownOutcome()
      if (verdict !== 'not in') return yield* resolve(current, newerBasis)
      const back = yield* restored(context, customs, { anchor, held: base, current })
      const isAllowed = customs.conflict !== 'reject' || sameBytes(current, anchor)
      if (proves && (back?.whole !== true || !isAllowed)) throw lostMeanwhile()
      if (back === undefined || !isAllowed) return yield* resolve(current, undefined)
      return { ...(yield* resolve({ ...current, ...back.view }, undefined)), isRestored: true }
    }
  }

  const saveUnchanged = async (handle: Handle<Data>, newest: LiveCopy): Promise<SaveReport> => {
    handle.newest = await touch(context, handle.locator, newest)
    return { changed: false, merged: false, durability: isUnflushed(handle.newest.envelope) ? 'cache' : 'backend' }
  }

  /**
   * Makes sure that what this handle holds, or a successor that contains it, is in the backend. Where the cache has
   * lost it, what this request was told is stored is written anew.
   */
  const saveUnchangedDurably = async (
    handle: Handle<Data>,
    change: Change,
    how: Adoption & { readonly asked: Wanted },
    call: Call,
  ): Promise<SaveReport> => {
    const { locator, base, anchor } = handle
    const standing = await writes.makeDurable(locator, base, heldBy(handle), call)
    if (standing !== 'lost') {
      handle.newest = standing
      handle.base = asDurable(base, context.runtime.now(), base.backendToken)
      handle.anchor = base
      handle.unflushedWriteId = undefined
      return { changed: false, merged: false, durability: 'backend' }
    }
    if (sameBytes(base, anchor)) throw lostMeanwhile()
    const resolve = withWhatWasLost(handle, change, { durable: true, proves: true })
    const intent = { base: undefined, resolve, idleTtlMs: undefined, durable: true, call }
    const written = await writeOf(handle, viewOf(change.wanted), intent)
    const adopted = inTurns(adopting(handle, change.wanted, written, how))
    if (adopted instanceof Promise) await adopted
    return { changed: false, merged: !sameBytes(written.stored, viewOf(how.asked)), durability: 'backend' }
  }

  const touchInTurn = async (handle: Handle<Data>, idleTtlMs: GivenIdleTtl | undefined, call: Call): Promise<void> => {
    call.refuseIfLate()
    const newest = await newestOf(handle)
    const { locator } = handle
    if (!changesIdleTime(idleTtlMs, newest.envelope)) {
      handle.newest = await touch(context, locator, newest)
      return
    }
    try {
      const written = await writeOf(handle, handle.base, {
        base: newest,
        resolve: keeping(context),
        idleTtlMs,
        durable: false,
        call,
      })
      handle.newest = written.now
    } catch (error) {
      if (!isSessionStoreError(error, 'E_SESSION_DESTROYED')) throw error
    }
  }

  return {
    save,
    touch: (handle, idleTtlMs, call) => {
      const given = givenIdleTtl(idleTtlMs, context.options)
      return handle.inTurn(() => touchInTurn(handle, given, call))
    },
    adopting,
    newestOf,
    viewOf,
  }
}

const lostMeanwhile = (): SessionStoreError =>
  new SessionStoreError(
    'E_SESSION_CONFLICT',
    'The cache lost what this request holds before it was in the backend, and others have changed the session since; load it again',
    { applied: 'no' },
  )

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
  valueToStore,
  viewCarriedOver,
  type Wanted,
  wantedOf,
} from '../protocol/resolve.js'
import { noTries, unknownOutcome, type WriteIntent, type WriteResult } from '../protocol/write.js'
import type { Call } from './call.js'
import { givenIdleTtl } from './call-options.js'
import { basisOf, beginEdition, inEdition, type SaveInLine } from './editions.js'
import type { Handle } from './handle.js'
import type { CallParts } from './parts.js'
import { touch } from './touch.js'

/** How a handle takes up what was stored. */
export interface Adoption {
  /** The save that stored it. Without one, `data` was what is wanted when the call was made. */
  readonly save?: SaveInLine
  /** Whether `data` is kept free of changes of others. */
  readonly isolated?: boolean
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

/** What was to be stored when a save was called, and whether `beforeSave` gave it in place of the data. */
interface Since {
  readonly before: unknown
  readonly isGiven: boolean
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
    const { save, isolated = false } = how
    const { stored, now, resolved, durability, writeId } = written
    const isDurable = durability === 'backend'
    const anchor = isDurable ? stored : yield* anchorAfter(handle, viewOf(wanted), stored)
    // The data as it was when the save was called; where an earlier save has replaced it since then, as it became by that.
    const asked = save === undefined ? viewOf(wanted) : yield* inEdition(context, customs, save, handle.edition)
    // If no changes of others came in, the request's own object stays in place, as others may refer to it.
    const isAsAsked = sameBytes(stored, asked)
    const staysInPlace = isolated || isAsAsked
    const since = staysInPlace ? undefined : yield* laterChanges(handle, asked, isGivenInstead(wanted))
    // The request may change its data between two steps, so that from here on there is only one.
    if (!staysInPlace) {
      handle.data = (
        since === undefined ? resolved.value : withChangesSince(since, handle.data, resolved.value)
      ) as Data
      beginEdition(handle, asked, stored)
    }
    handle.anchor = anchor
    handle.unflushedWriteId = isDurable ? undefined : writeId
    handle.base = stored
    handle.userId = resolved.userId
    handle.newest = now
    handle.doubtful = []
    handle.held = isAsAsked || !isolated ? undefined : asked
  }

  /** Whether `beforeSave` returned something in place of the data. */
  const isGivenInstead = ({ value, source }: Wanted): boolean => value !== source

  /**
   * The anchor after a save that only the cache has: the old anchor, with the changes of others that the save merged
   * in, as those are not changes of this request.
   */
  function* anchorAfter({ anchor }: Handle<Data>, wanted: Encoded, stored: Encoded): Steps<Encoded> {
    return (yield* viewCarriedOver(context, customs, { before: wanted, after: stored, onto: anchor })) ?? stored
  }

  /**
   * Whether the request has changed its data since it called `save`: a copy of what was to be stored then, or `undefined`
   * where it has not. Of data of which something else is stored, only `beforeSave` can say what that is by now.
   */
  function* laterChanges(handle: Handle<Data>, asked: Encoded, isGiven: boolean): Steps<Since | undefined> {
    yield asked.data.length
    if (!isGiven && isAs(handle.data, asked)) return undefined
    const before = yield* decoded(context, asked)
    yield asked.data.length
    return { before, isGiven }
  }

  /** What is stored, with the changes that the request has made since it called `save`. */
  const withChangesSince = ({ before, isGiven }: Since, held: Data, stored: unknown): unknown =>
    atOnce(carriedOver(context, customs, before, isGiven ? storedNowOf(held) : held, stored)) ?? stored

  const storedNowOf = (data: Data): unknown => {
    try {
      return valueToStore(customs, data)
    } catch {
      return data // `beforeSave` refuses it by now, as the next save will say
    }
  }

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
    const { lastSave: before, edition } = handle
    const mine: SaveInLine = { wanted: viewOf(wanted), edition, lastStored: undefined }
    handle.lastSave = mine
    return handle.inTurn(async () => {
      try {
        mine.lastStored = before?.lastStored
        call.refuseIfLate()
        // Another save of this handle may have ended only now: the changes of this save are those since that one
        // was called.
        const finding = inTurns(basisOf(context, customs, handle, { before, edition }))
        const basis = finding instanceof Promise ? await finding : finding
        return await saveInTurn(handle, { wanted, basis, mine }, { ...saveOptions, idleTtlMs }, call)
      } finally {
        if (handle.lastSave === mine) handle.lastSave = undefined
      }
    })
  }

  const saveInTurn = async (
    handle: Handle<Data>,
    { wanted: asked, basis, mine }: { readonly wanted: Wanted; readonly basis: Encoded; readonly mine: SaveInLine },
    { durable = false, unmergedKeys = [], idleTtlMs, isolated = false, client }: GivenSaveOptions,
    call: Call,
  ): Promise<SaveReport> => {
    if (client !== undefined) handle.client = clientOf(client)
    const { doubtful } = handle
    const newest = await newestOf(handle)
    const { base, userId } = handle
    const changed = !sameBytes(mine.wanted, basis)
    const ttlChanged = changesIdleTime(idleTtlMs, newest.envelope)
    if (!changed && !ttlChanged && doubtful.length === 0 && !durable) {
      const report = await saveUnchanged(handle, newest)
      mine.lastStored = mine
      return report
    }
    const rebasing = inTurns(rebased(context, customs, { basis, wanted: asked, onto: base, unmergedKeys }))
    const wanted = rebasing instanceof Promise ? await rebasing : rebasing
    const change = { basis: base, basisUser: userId, wanted, unmergedKeys }
    const how = { save: mine, isolated }
    if (!changed && !ttlChanged && doubtful.length === 0) {
      const report = await saveUnchangedDurably(handle, change, how, call)
      mine.lastStored = mine
      return report
    }
    const resolve = withWhatWasLost(handle, change, { durable, proves: false })
    const written = await writeOf(handle, viewOf(wanted), { base: newest, resolve, idleTtlMs, durable, call })
    mine.lastStored = mine
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

  /** Where what this handle holds is goes by what stands, which others may have filled anew after the cache had lost it. */
  const saveUnchanged = async (handle: Handle<Data>, newest: LiveCopy): Promise<SaveReport> => {
    handle.newest = await touch(context, handle.locator, newest)
    const { envelope } = handle.newest
    const held = heldBy(handle)
    const isFlushed = held === undefined || (!isUnflushed(envelope) && heldVerdict(envelope, held) === 'in')
    return { changed: false, merged: false, durability: isFlushed ? 'backend' : 'cache' }
  }

  /**
   * Makes sure that what this handle holds, or a successor that contains it, is in the backend. Where the cache has
   * lost it, what this request was told is stored is written anew.
   */
  const saveUnchangedDurably = async (
    handle: Handle<Data>,
    change: Change,
    how: Adoption & { readonly save: SaveInLine },
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
    return { changed: false, merged: !sameBytes(written.stored, how.save.wanted), durability: 'backend' }
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

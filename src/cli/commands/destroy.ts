import { Command } from 'commander'
import type { DestroyReport } from '../../contract/session-store.js'
import { type Sessions, type StoreFlags, withSessions, withStoreFlags } from '../configuration.js'
import { EndsWith, EXIT } from '../exits.js'
import { report } from '../output.js'
import { handleMeant, standing } from '../which.js'

const DESCRIPTION =
  'Ends one session: after it, no process serves it. Ending one that is not there succeeds, and is told. Give its handle ' +
  'as an argument; its id, or the value of its cookie, goes by standard input, so that it shows in no list of ' +
  'processes. A row that is deleted by SQL is no ' +
  'logout, since the cache goes on serving it; this is.'

/** `nonstick destroy`: ends one session. */
export const destroyCommand = (): Command =>
  withStoreFlags(
    new Command('destroy')
      .summary('end one session')
      .description(DESCRIPTION)
      .argument('[handle]', 'the handle of the session; without it, the id or the handle is read from standard input'),
  ).action(async (handle: string | undefined, flags: StoreFlags) =>
    withSessions('destroy', flags, (sessions) => destroy(sessions, handle, flags)),
  )

const destroy = async (sessions: Sessions, argument: string | undefined, flags: StoreFlags): Promise<void> => {
  const handle = await handleMeant(sessions, argument)
  // What cannot be looked at, such as a session in bytes that this program does not know, can be ended all the same.
  const stood = await sessions.inspect(handle).then(standing, () => 'unknown' as const)
  const told = await sessions.destroyByHandle(handle, { by: 'operator' })
  report(flags, { ...told, session: OUTCOMES[stood].session }, () => [OUTCOMES[stood].sentence])
  refuseHalf(told)
}

const OUTCOMES = {
  live: { session: 'ended', sentence: 'The session has ended.' },
  none: {
    session: 'none',
    sentence:
      'No session stood under this id or handle, so that none has ended. If there is one to be ended, it has another: ' +
      '`nonstick list` shows the handles of all.',
  },
  unknown: {
    session: 'unknown',
    sentence: 'Whatever stood there has ended. Whether that was a session could not be seen.',
  },
} as const

/** A process that still reaches the cache may serve what this machine could not reach. */
export const refuseHalf = ({ cache }: DestroyReport): void => {
  if (cache === 'unreachable')
    throw new EndsWith(
      EXIT.fault,
      'it has ended in the backend, and the cache could not be told: a process that reaches the cache may go on serving ' +
        'it. Run this again once the cache can be reached',
    )
}

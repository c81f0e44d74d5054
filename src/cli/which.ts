/** Which session or user a command is about, without showing an id to anybody. */

import type { SessionInspection } from '../contract/session-store.js'
import { isSessionStoreError } from '../errors.js'
import type { Sessions } from './configuration.js'
import { EndsWith, EXIT, UsageError } from './exits.js'
import { givenId } from './given-id.js'
import { ask, firstLineOfInput } from './setup/ask.js'

/** What stands for "read it from standard input", as with other commands. */
const FROM_INPUT = '-'

const fromInput = async (question: string): Promise<string> => {
  const text = process.stdin.isTTY === true ? await ask(question, { hidden: true }) : await firstLineOfInput()
  if (text.trim() === '') throw new UsageError('Expected a line on standard input, got nothing')
  return text.trim()
}

/**
 * The handle of the session that is meant: the argument, or what standard input says, which may be an id as well, or the
 * value of the cookie that holds it. An argument is seen by everybody in the list of processes, and stays in the shell's
 * history, so that none may be an id.
 */
export const handleMeant = async (sessions: Sessions, argument: string | undefined): Promise<string> => {
  if (argument !== undefined && argument !== FROM_INPUT) {
    if (isHandle(sessions, argument)) return argument
    throw new UsageError(
      'Expected a handle, as `nonstick list` gives it, and got something else. An id goes by standard input, where ' +
        'nobody sees it: leave the argument out',
    )
  }
  const text = await fromInput('Id or handle of the session: ')
  return isHandle(sessions, text) ? text : sessions.handleOf(givenId(text))
}

/** No handle can be an id, so that the store refuses to make a handle of one. */
const isHandle = (sessions: Sessions, text: string): boolean => {
  if (!text.startsWith('h.')) return false
  try {
    sessions.handleOf(text)
    return false
  } catch (error) {
    if (isSessionStoreError(error, 'E_INVALID_ID')) return true
    throw error
  }
}

/** The user that is meant: the argument, or `-` for what standard input says. */
export const userMeant = async (argument: string): Promise<string> =>
  argument === FROM_INPUT ? await fromInput('User: ') : argument

/** The id of the session that is to stay, from standard input, where the value of its cookie serves as well. */
export const idFromInput = async (): Promise<string> => givenId(await fromInput('Id of the session that is to stay: '))

/**
 * Whether a session stands where both tiers were looked at. `unknown`: a tier that may have it could not be asked, and
 * the other one has nothing that settles it.
 */
export const standing = (found: SessionInspection | undefined): 'live' | 'none' | 'unknown' => {
  if (found === undefined) return 'none'
  const { session, tiers } = found
  if (session !== undefined) return 'live'
  if (tiers.cache === 'tombstone' || tiers.backend === 'destroyed') return 'none'
  return tiers.cache === 'unreachable' || tiers.backend === 'unreachable' ? 'unknown' : 'none'
}

/** How a command ends that was asked for a session that is not there. */
export const noSuchSession = (): EndsWith => new EndsWith(EXIT.absent, 'There is no such session')

import type { Plan } from './plan.js'

/** How to connect as the administrator: by a URL, or by host and port; with the password apart, so that the URL may be shown. */
export interface Administrator {
  readonly url?: string
  readonly host?: string
  readonly port?: number
  readonly password?: string
  /** Which database to connect to where a part of a plan names none. */
  readonly database: string
  /** Everybody on the machine could read it. */
  readonly passwordIsInArguments?: boolean
}

/** Brings a plan to the server. Adds the lines that were said to `said`, also when it rejects with the server's complaint. */
export type Carry = (plan: Plan, said: string[], admin: Administrator) => Promise<void>

/** How the connections are called in `pg_stat_activity`. */
export const SET_UP_NAME = 'nonstick setup'

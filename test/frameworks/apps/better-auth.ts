import { betterAuth } from 'better-auth'
import { memoryAdapter } from 'better-auth/adapters/memory'
import { fromNodeHeaders } from 'better-auth/node'
import express, { type NextFunction, type Request, type Response } from 'express'
import { nonstickStorage } from '../../../src/adapters/better-auth.js'
import type { AppOptions, Framework, RequestSession, Routes } from '../framework.js'
import { served } from './served.js'

/** The users of all processes, as one database has them. */
const USERS: Record<string, Record<string, unknown>[]> = { user: [], account: [], session: [], verification: [] }
const PASSWORD = 'a password of a test and of no use'

const authOf = ({ sessions, secrets, maxAgeMs, rolling }: AppOptions) => {
  const [secret] = secrets
  return betterAuth({
    database: memoryAdapter(USERS),
    secondaryStorage: nonstickStorage({ sessions }),
    secret,
    baseURL: 'http://127.0.0.1',
    logger: { disabled: true },
    // It is not passwords that are tried here, and hashing them takes its time.
    emailAndPassword: {
      enabled: true,
      password: { hash: async (password) => password, verify: async ({ hash, password }) => hash === password },
    },
    session: {
      additionalFields: { data: { type: 'string', required: false, defaultValue: '{}' } },
      ...(maxAgeMs === undefined ? {} : { expiresIn: maxAgeMs / 1_000 }),
      ...(rolling === true ? { updateAge: 0 } : {}),
    },
  })
}

type Auth = ReturnType<typeof authOf>

/** What a request has of its visitor's session, in a text field that better-auth keeps with it. */
const sessionOf = async (auth: Auth, req: Request, res: Response) => {
  const headers = fromNodeHeaders(req.headers)
  const handOn = (from: Headers): void => {
    for (const cookie of from.getSetCookie()) res.append('set-cookie', cookie)
  }
  const { response, headers: refreshed } = await auth.api.getSession({ headers, returnHeaders: true })
  handOn(refreshed)
  const user = response?.user.name
  let data: Record<string, unknown> = JSON.parse(response?.session.data ?? '{}') as Record<string, unknown>
  let isChanged = false
  let login: string | undefined
  const change = (next: Record<string, unknown>): void => {
    data = next
    isChanged = true
  }
  const session: RequestSession = {
    data: () => (user === undefined ? data : { user, ...data }),
    set: (key, value) => {
      if (key === 'user') login = String(value)
      else change({ ...data, [key]: value })
    },
    delete: (key) => {
      const { [key]: _, ...others } = data
      change(others)
    },
    regenerate: async () => {},
    destroy: async () => {
      handOn((await auth.api.signOut({ headers, returnHeaders: true })).headers)
    },
  }
  const commit = async (): Promise<void> => {
    if (login !== undefined) {
      const email = `${login}@example.org`
      const isNew = !USERS['user']?.some((one) => one['email'] === email)
      const body = { email, password: PASSWORD, name: login }
      const call = { body, headers, returnHeaders: true as const }
      handOn((isNew ? await auth.api.signUpEmail(call) : await auth.api.signInEmail(call)).headers)
    }
    if (isChanged) await auth.api.updateSession({ headers, body: { data: JSON.stringify(data) } })
  }
  return { session, commit }
}

const start = async (routes: Routes, options: AppOptions): ReturnType<Framework['start']> => {
  const auth = authOf(options)
  const app = express()
  app.use(express.json({ limit: '1mb' }))
  for (const [name, route] of Object.entries(routes))
    app.post(`/${name}`, async (req, res) => {
      const { session, commit } = await sessionOf(auth, req, res)
      const answer = await route(session, req.body as Record<string, unknown>)
      await commit()
      res.json(answer)
    })
  app.use(
    (error: { readonly code?: string; readonly status?: string }, _req: Request, res: Response, next: NextFunction) => {
      if (res.headersSent) return next(error)
      res.status(error.status === 'UNAUTHORIZED' ? 401 : 500).json({ code: error.code ?? String(error) })
    },
  )
  return await served(app.listen(0, '127.0.0.1'))
}

const WHOLE =
  'better-auth keeps data of an application as a text, and sets the whole session: of two requests that run at once, the later one stands.'

export const betterAuthApp: Framework = {
  name: 'better-auth',
  subpath: 'nonstick/better-auth',
  packages: ['better-auth'],
  limits: {
    'parallel-changes': WHOLE,
    regeneration: 'A visitor of better-auth has no session before he has logged in.',
    binary: 'better-auth keeps sessions as JSON.',
    'log-out-everywhere': 'better-auth has a list of a user’s sessions of its own: its `revokeSessions` ends them.',
  },
  costs: { reading: { cache: 2, backend: 0 }, changing: { cache: 12, backend: 2 } },
  start,
}

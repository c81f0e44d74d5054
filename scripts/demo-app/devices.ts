/** The account page's part of an app process: a user sees his sessions, and ends them. */
import { type Request, type RequestHandler, type Response, Router } from 'express'
import type { SessionStore } from 'nonstick'

export interface DevicesOptions {
  readonly sessions: SessionStore
  /** Whose session the request has; `undefined` for nobody's. */
  readonly userOf: (req: Request) => string | undefined
  /** Which process answers. */
  readonly answerer: { readonly process: string; readonly pid: number }
  /** Ends the session of the request, and the browser's cookie. */
  readonly logOut: (req: Request, res: Response) => Promise<void>
}

/**
 * A session is named by its handle here, with which nobody can log in. A handle that comes from a browser is taken only
 * where it names a session of the user who asks: he may end his own, and nobody else's.
 */
export const devices = ({ sessions, userOf, answerer, logOut }: DevicesOptions): Router => {
  const forUsers =
    (answer: (user: string, req: Request, res: Response) => Promise<object | undefined>): RequestHandler =>
    async (req, res) => {
      const user = userOf(req)
      const answered = user === undefined ? { user: null } : await answer(user, req, res)
      if (answered === undefined) res.status(404).json({ ...answerer, error: 'you have no such session' })
      else res.json({ ...answerer, ...answered })
    }

  const listed = async (user: string, req: Request): Promise<object> => {
    const here = sessions.handleOf(req.sessionID)
    const list = []
    for await (const { handle, createdAt, seenAt, address, userAgent } of sessions.listByUser(user))
      list.push({ handle, isThis: handle === here, createdAt, seenAt, address, userAgent })
    return { user, devices: list.sort((one, other) => (other.seenAt ?? 0) - (one.seenAt ?? 0)) }
  }

  const router = Router()
  router.get('/', forUsers(listed))

  router.post(
    '/end',
    forUsers(async (user, req, res) => {
      const asked: unknown = req.body?.handle
      for await (const { handle } of sessions.listByUser(user)) {
        if (handle !== asked) continue
        if (handle === sessions.handleOf(req.sessionID)) await logOut(req, res)
        else await sessions.destroyByHandle(handle)
        return { ended: 1 }
      }
      return undefined
    }),
  )

  router.post(
    '/end-others',
    forUsers(async (user, req) => {
      const { destroyed } = await sessions.destroyByUser(user, { except: req.sessionID })
      return { ended: destroyed }
    }),
  )

  router.post(
    '/end-all',
    forUsers(async (user, req, res) => {
      const { destroyed } = await sessions.destroyByUser(user)
      await logOut(req, res)
      return { ended: destroyed }
    }),
  )
  return router
}

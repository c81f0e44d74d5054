import type { Handle, ServerInit } from '@sveltejs/kit'
import { openSessions } from './lib/server/sessions'

let opened: Awaited<ReturnType<typeof openSessions>>

export const init: ServerInit = async () => {
  opened = await openSessions()
  // adapter-node says so when the last request has been answered.
  process.once('sveltekit:shutdown', () => opened.sessions.close())
}

export const handle: Handle = ({ event, resolve }) =>
  opened.web.withSession(event.request, (session) => {
    event.locals.session = session
    return resolve(event)
  })

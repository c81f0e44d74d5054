import { openSessions } from '../../lib/sessions'

export const GET = async (request: Request) => {
  const { web } = await openSessions()
  return await web.withSession(request, (session) => {
    session.data.visits = (session.data.visits ?? 0) + 1
    return Response.json(session.data)
  })
}

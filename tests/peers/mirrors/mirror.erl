%% Erlang's gen_sctp; see common.py. Its PPID is the number that a packet shows.
-module(mirror).
-export([main/1]).
-include_lib("kernel/include/inet_sctp.hrl").

main([Role, PortText]) ->
    Port = list_to_integer(PortText),
    Streams = {sctp_initmsg, #sctp_initmsg{num_ostreams = 10, max_instreams = 10}},
    Options = [binary, {active, false}, {sndbuf, 1 bsl 20}, {recbuf, 1 bsl 20}, {buffer, 1 bsl 20}, Streams],
    {Socket, Association} = associate(Role, Port, Options),
    send(Socket, Association, 1, [], 16#01020304, <<"greeting">>),
    loop(Socket, Association).

associate("connect", Port, Options) ->
    {ok, Socket} = gen_sctp:open(Options),
    {ok, #sctp_assoc_change{state = comm_up, assoc_id = Id}} =
        gen_sctp:connect(Socket, {127, 0, 0, 1}, Port, []),
    {Socket, Id};
associate("listen", Port, Options) ->
    {ok, Socket} = gen_sctp:open([{ip, {127, 0, 0, 1}}, {port, Port} | Options]),
    ok = gen_sctp:listen(Socket, true),
    io:format("ready~n"),
    {ok, {_, _, _, #sctp_assoc_change{state = comm_up, assoc_id = Id}}} = gen_sctp:recv(Socket),
    {Socket, Id}.

send(Socket, Association, Stream, Flags, Ppid, Data) ->
    Info = #sctp_sndrcvinfo{stream = Stream, flags = Flags, ppid = Ppid, assoc_id = Association},
    ok = gen_sctp:send(Socket, Info, Data).

loop(Socket, Association) ->
    case gen_sctp:recv(Socket) of
        {ok, {_, _, [#sctp_sndrcvinfo{stream = Stream, flags = Flags, ppid = Ppid}], Data}} when is_binary(Data) ->
            send(Socket, Association, Stream, [unordered || unordered <- Flags], Ppid, Data),
            loop(Socket, Association);
        {ok, {_, _, _, #sctp_shutdown_event{}}} ->
            halt(0);
        {ok, {_, _, _, #sctp_assoc_change{state = State}}} when State =/= comm_up ->
            halt(0);
        {ok, _} ->
            loop(Socket, Association)
    end.

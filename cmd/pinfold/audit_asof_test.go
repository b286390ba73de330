package main

import (
	"fmt"
	"strings"
	"testing"

	"pinfold/audit"
	"pinfold/crowd"
)

// TestAuditAsOf looks at the log of a small crowd at its end, halfway and at its beginning, from the archive and from the
// folder.
func TestAuditAsOf(t *testing.T) {
	contacts := crowd.Synthetic(40, 2, 1)
	data, archive := playedLog(t, contacts)
	var end, same, half, top audit.Leaderboard
	answer(t, &end, "audit", "leaderboard", archive)
	answer(t, &same, "audit", "leaderboard", "--data", data, "--at", end.At.Stored)
	if fmt.Sprint(same) != fmt.Sprint(end) || len(end.Places) != 40 {
		t.Errorf("at the end: %+v of the folder, %+v of the archive", same, end)
	}
	var friends, backgrounds uint64
	for _, p := range end.Places {
		friends += uint64(p.Friends)
		backgrounds += uint64(p.Backgrounds)
	}
	if want := expect(contacts); friends != 2*want.Friendships || backgrounds != want.Backgrounds {
		t.Errorf("%d friends and %d backgrounds, want of %+v", friends, backgrounds, want)
	}
	leader := end.Places[0]
	var now, then audit.WearerState
	answer(t, &now, "audit", "wearer", leader.Wearer, archive)
	if now.Rank != 1 || now.Friends != leader.Friends || len(now.FriendList) != int(leader.Friends) || len(now.Backgrounds) != leader.Backgrounds {
		t.Errorf("the leader is %+v, by the leaderboard %+v", now, leader)
	}
	// Halfway is where the leader was given half of its backgrounds; how far ahead of the rewards the friendships are there
	// differs from run to run.
	given := len(now.Backgrounds) / 2
	at := now.Backgrounds[given].Seq
	middle := at.String()
	answer(t, &half, "audit", "leaderboard", archive, "--at", middle)
	answer(t, &top, "audit", "leaderboard", archive, "--at", middle, "--limit", "3")
	if half.At.Seq != at || len(top.Places) != 3 || len(half.Places) <= 5*given || top.Places[2] != half.Places[2] {
		t.Errorf("halfway: %+v, the first three %+v, at the end %+v", half, top, end)
	}
	answer(t, &then, "audit", "wearer", leader.Wearer, "--at", middle, "--data", data)
	if then.At.Seq != at || then.Friends > now.Friends || len(then.Backgrounds) <= given || then.Backgrounds[given].Seq != at {
		t.Errorf("halfway the leader was %+v", then)
	}
	for i, b := range now.Backgrounds {
		if b.Friends != uint32(5*(i+1)) || b.Seq == 0 || b.Given == "" {
			t.Errorf("background %d is %+v", i, b)
		}
	}

	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{"leaderboard", archive}, []string{"As of sequence " + end.At.Seq.String() + ", stored " + end.At.Stored, "rank", leader.Wearer}},
		{[]string{"wearer", leader.Wearer, archive}, []string{"As of sequence", "rank     1", "aquatics", "at friends", now.FriendList[0].Wearer, now.FriendList[0].Formed}},
	} {
		code, stdout, stderr := pinfold(t, append([]string{"audit"}, tt.args...)...)
		for _, want := range tt.want {
			if code != exitOK || !strings.Contains(stdout, want) {
				t.Errorf("%v: exit code %d, %q and %q, want %q", tt.args, code, stdout, stderr, want)
			}
		}
	}

	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"leaderboard", archive, "--at", "1000000"}, exitFailed, "the log ends at sequence " + end.At.Seq.String()},
		{[]string{"leaderboard", archive, "--at", "2001-01-01T00:00:00Z"}, exitFailed, "no fact was stored by then"},
		{[]string{"leaderboard", archive, "--at", "noon"}, exitUsage, `--at: moment "noon": must be a sequence`},
		{[]string{"leaderboard", archive, "--limit", "0"}, exitUsage, "--limit=0"},
		{[]string{"leaderboard", "--games", "No Games"}, exitUsage, `games "No Games"`},
		{[]string{"wearer", "aaaaaaaaaaaaaaaaaaaaaaaaaa", archive}, exitFailed, "was paired with no pin up to sequence"},
		{[]string{"wearer", leader.Wearer, archive, "--at", "2"}, exitFailed, "was paired with no pin up to sequence 2"},
		{[]string{"wearer", "bob", archive}, exitUsage, `wearer "bob"`},
		{[]string{"wearer", leader.Wearer, archive, "--at", "-"}, exitUsage, `--at: moment "-"`},
	} {
		code, stdout, stderr := pinfold(t, append([]string{"audit"}, tt.args...)...)
		if code != tt.code || stdout != "" || !strings.Contains(stderr, tt.want) {
			t.Errorf("%v: exit code %d, %q and %q, want code %d and %q", tt.args, code, stdout, stderr, tt.code, tt.want)
		}
	}
}
